"""Attaches an engine to a transformer, and detaches it again without a trace."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn

from lesa_framework.errors import UnsupportedBackboneError
from lesa_framework.interfaces.backbone import Arguments, BackboneAdapter
from lesa_framework.interfaces.host import Host
from lesa_framework.layout import unwrapped
from lesa_framework.runtime.asking import Asking
from lesa_framework.runtime.calls.call import Call
from lesa_framework.runtime.model import conflicts
from lesa_framework.runtime.model.arguments import ArgumentNames
from lesa_framework.runtime.model.compiled import Compilation
from lesa_framework.runtime.model.override import ATTACHED, CONTEXT, Forward, ForwardOverride
from lesa_framework.runtime.model.per_thread import PerThread
from lesa_framework.runtime.model.running import Given, Runner
from lesa_framework.runtime.model.tuning import tuned
from lesa_framework.runtime.requests import Request, Requests
from lesa_framework.runtime.turn import Turn, take_turn
from lesa_framework.types import Tap
from lesa_framework.warning import warn

NameContext: TypeAlias = Callable[..., AbstractContextManager[Any]]


class _ContextName(PerThread):
    """The `cache_context` in which a thread is."""

    name: str | None = None


class Attachment:
    """What stands between a transformer and its callers. It changes nothing before `attach`.

    The transformer's `forward` is replaced on the instance (never on the class), and its head gets two hooks. On
    predicted steps the block lists are empty for the thread that runs the model's own forward, so that no block is
    touched and no offloaded weight moved; nor does a module run that only the blocks would read. Calls from several
    threads wait for each other.

    Args:
        model: The transformer, or what `torch.compile` wrapped it in.
        adapter: How it is laid out.
        tap: Where the feature is taken.
        requests: Whose calls they are: each request has an engine and a tracker.
        around_compute: Makes a context for each computed step; training switches gradients off with it.
        part: Which of a pipeline's transformers it is; empty for the first.
        verified: Whether the adapter is known to fit the model; if not, the first computed step checks it.
        host: Says of each call where it belongs; by default the requests find out.
        refused: Called with why a call cannot be cached, which is then computed; by default it fails.

    Raises:
        UnsupportedBackboneError: The adapter does not fit the model, or a session is attached already.

    Attributes:
        is_live: Whether calls go through it; another thread may end that at any moment.
    """

    def __init__(
        self,
        model: nn.Module,
        adapter: BackboneAdapter,
        tap: Tap,
        requests: Requests,
        around_compute: Callable[[], AbstractContextManager[Any]] = nullcontext,
        part: str = "",
        verified: bool = True,
        host: Host | None = None,
        refused: Callable[[str], None] | None = None,
    ) -> None:
        self._host, self._refused = host, refused
        called, model = model, unwrapped(model)
        other = model.__dict__.get(ATTACHED)
        if isinstance(other, Attachment) and other.is_live:
            raise UnsupportedBackboneError(
                f"{type(model).__name__}: a session is attached already. "
                "Call its detach() first, or leave its with block."
            )
        conflicts.check_caches(model)
        self._model, self._adapter, self._requests, self._part = model, adapter, requests, part
        self._compilation = Compilation(called)
        self._names = ArgumentNames(type(model).forward)
        signature = self._names.signature
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
        self._context = _ContextName()
        self._told: set[str] = set()
        self._override = ForwardOverride(model, Forward(self.call, signature))
        forward = self._override.original
        self._runner = Runner(
            model, adapter, tap, forward, self._compilation, around_compute, verified, self._missed, self._warn
        )
        self._run_model = forward
        own = model.__dict__
        self._own_context = {CONTEXT: own[CONTEXT]} if CONTEXT in own else {}
        self._name_context: NameContext | None = getattr(model, CONTEXT, None)
        self.is_live: bool = False
        self._is_attached: bool = False

    def attach(self) -> None:
        """Enter the model. If this fails, or is interrupted, `detach` undoes what was done."""
        own = self._model.__dict__
        self._is_attached = True
        own[ATTACHED] = self
        self._compilation.attach(self._override.original)
        self._runner.attach()
        if self._name_context is not None:
            own[CONTEXT] = self._hear_context
        self.is_live = True
        self._override.put()

    def detach(self) -> None:
        """Leave the model as it was, bit for bit. A second call finishes what an interrupt left, or does nothing."""
        with self._requests.lock:  # another thread's call ends as it began
            if not self._is_attached:
                return
            self.is_live = False
            self._override.remove()
            self._runner.detach()
            self._compilation.detach()
            own = self._model.__dict__
            own.pop(CONTEXT, None)
            own.update(self._own_context)
            own.pop(ATTACHED, None)
            self._is_attached = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Attachment:
        """A copy of an attached model is bare: what replaces its forward only passes calls on.

        Copying the engine would copy histories, and the pipeline with its scheduler, which would never be stepped.
        """
        twin = object.__new__(Attachment)
        memo[id(self)] = twin
        twin.is_live, twin._context = False, _ContextName()
        twin._run_model = copy.deepcopy(self._run_model, memo)
        twin._name_context = copy.deepcopy(self._name_context, memo)
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be saved: the file would hold the engine and its histories, and a loaded model would cache.

        Raises:
            UnsupportedBackboneError: A session is attached; a copy of an attached model, a bare one, may be saved.
        """
        if self.is_live:
            raise UnsupportedBackboneError(
                f"{type(self._model).__name__}: torch.save(model) or pickle would save the attached cache with the "
                "model. Call the session's detach() first, or save the weights alone with "
                "torch.save(model.state_dict()) or save_pretrained, which are fine at any time."
            )
        return super().__reduce_ex__(protocol)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of the model's forward."""
        if not self.is_live:
            return self._run_model(*args, **kwargs)
        if torch.compiler.is_compiling():
            conflicts.refuse_compiler()
        with self._requests.lock:
            if self._is_attached:
                return self._forward(args, kwargs)
        return self._model.forward(*args, **kwargs)  # detached meanwhile: another session may be attached by now

    def _forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        conflicts.check_training(self._model)
        self._runner.check()
        was_in_place = self._override.is_in_place
        try:
            return self._output(args, kwargs)
        finally:
            self._runner.end()
            if self._is_attached and self._override.renew(was_in_place=was_in_place):
                self._runner.forward = self._run_model = self._override.original

    def _output(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arguments = self._names.of(self._model, args, kwargs)
        refusal = self._adapter.refuse(self._model, arguments)
        if refusal:
            self._refuse(refusal, arguments)
            return self._run_model(*args, **kwargs)
        given = Given(args, kwargs, self._adapter.latent(arguments), bool(arguments.get("return_dict", True)))
        call = Call(
            latent=given.latent,
            condition=self._adapter.condition(arguments),
            timestep=self._adapter.timestep(arguments),
            context=self._context.name,
            part=self._part,
            told=None if self._host is None else self._host(arguments),
            noise_level=partial(self._adapter.noise_level, arguments),
            offset=self._adapter.timestep_offset,
        )
        request = self._requests.current(call.told)
        if request is None:
            self._warn(
                f"{type(self._model).__name__}: it was called in a thread in which no pipeline runs, such as a pool's. "
                "Nothing is cached there, because requests could not be told apart. Call the pipeline in that thread, "
                "or give the pipeline to the function that samples, as an argument."
            )
        try:
            turn = self._turn(request, call, arguments) if request is not None and self._is_attached else None
            if not self._is_attached:  # detached by an observer, who was told that a run ended or begins
                return self._run_model(*args, **kwargs)
            if turn is None:
                return self._runner.run(given)
            if turn.prediction is None:
                asked = self._tuned(given, arguments, turn.asking())
                output, feature = self._runner.compute(asked, turn.computed)
            else:
                output, feature = self._runner.replay(given, turn.prediction), turn.prediction
            turn.end(feature)
        except BaseException:
            # Whatever broke, the next call must not build on a half-made run.
            if request is not None:
                request.tracker.forget()
            raise
        return output

    def _refuse(self, refusal: str, arguments: Arguments) -> None:
        """Fail because a call cannot be cached; where nobody is to fail, only have its request begin a new run."""
        message = f"{type(self._model).__name__}: {refusal}"
        if self._refused is None:
            raise UnsupportedBackboneError(message)
        self._refused(f"a call is computed. {message}")
        request = self._requests.current(None if self._host is None else self._host(arguments))
        if request is not None:
            request.tracker.forget()  # the run that it is in has a gap now, of which predictors know nothing

    def _turn(self, request: Request, call: Call, arguments: Arguments) -> Turn:
        """What a call of a request is to do."""
        located = request.tracker.positions(call)
        if located.new_run:
            conflicts.check_caches(self._model)
        return take_turn(request.engine, located, call.latent, partial(self._adapter.guidance, arguments))

    def _tuned(self, given: Given, arguments: Arguments, asking: Sequence[Asking | None]) -> Given:
        """A call as the predictor wants the model to be asked."""
        changed = tuned(self._adapter, arguments, asking)
        if not changed:
            return given
        args, kwargs = self._names.replaced(given.args, given.kwargs, changed)
        return given._replace(args=args, kwargs=kwargs)

    def _missed(self) -> None:
        """The model ran, but not through this: whatever replaced its forward later does not call the one before."""
        if self.is_live and not self._override.is_in_place:
            self._warn(
                f"{type(self._model).__name__}: it was called past the session that is attached to it, so nothing is "
                f"cached.{conflicts.forward_of(self._model)} Detach the session, and accelerate again."
            )

    def _warn(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            warn(message)

    @contextmanager
    def _hear_context(self, name: str, **kwargs: Any) -> Iterator[Any]:
        """Replaces the model's `cache_context`: records the name and passes it on."""
        assert self._name_context is not None
        outer, self._context.name = self._context.name, name
        try:
            with self._name_context(name, **kwargs) as value:
                yield value
        finally:
            self._context.name = outer
