"""Attaches an engine to a transformer, and detaches it again without a trace."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lesa_framework.errors import LesaError, LesaWarning, UnsupportedBackboneError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.runtime import conflicts
from lesa_framework.runtime.blocks import BlockLists
from lesa_framework.runtime.calls import Call
from lesa_framework.runtime.engine import Step
from lesa_framework.runtime.head import Head
from lesa_framework.runtime.override import Forward, ForwardOverride
from lesa_framework.runtime.per_thread import PerThread
from lesa_framework.runtime.requests import Requests
from lesa_framework.runtime.sharded import check_whole
from lesa_framework.runtime.verify import copied, verify
from lesa_framework.runtime.wrapping import Wrapper, unwrap, wrapper_like
from lesa_framework.types import Tap

_ATTACHED = "_lesa_attachment"
_CONTEXT = "cache_context"
NameContext: TypeAlias = Callable[..., AbstractContextManager[Any]]


class _ContextName(PerThread):
    """The `cache_context` in which a thread is."""

    name: str | None = None


class Attachment:
    """What stands between a transformer and its callers. It changes nothing before `attach`.

    The transformer's `forward` is replaced on the instance (never on the class), and its head gets two hooks. On
    predicted steps the block lists are empty for the thread that runs the model's own forward, so that no block is
    touched and no offloaded weight moved. Calls from several threads wait for each other.

    Args:
        model: The transformer.
        adapter: How it is laid out.
        tap: Where the feature is taken.
        requests: Whose calls they are: each request has an engine and a tracker.
        around_compute: Makes a context for each computed step; training switches gradients off with it.
        part: Which of a pipeline's transformers it is; empty for the first.
        verified: Whether the adapter is known to fit the model; if not, the first computed step checks it.

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
    ) -> None:
        other = model.__dict__.get(_ATTACHED)
        if isinstance(other, Attachment) and other.is_live:
            raise UnsupportedBackboneError(
                f"{type(model).__name__}: a session is attached already. "
                "Call its detach() first, or leave its with block."
            )
        conflicts.check_compiled(model)
        conflicts.check_caches(model)
        self._model, self._adapter, self._tap, self._requests = model, adapter, tap, requests
        self._blocks = BlockLists(model, adapter)
        self._blocks_are_called = False  # not known until a computed step has shown it
        self._head = Head(model, adapter, tap, self._missed)
        # At the output a predicted step has nothing of the model's layout in it.
        self._verified = (verified and not adapter.unverified) or tap is Tap.OUTPUT
        self._around_compute, self._part = around_compute, part
        self._bound = inspect.signature(type(model).forward)
        signature = self._bound.replace(parameters=list(self._bound.parameters.values())[1:])
        self._context = _ContextName()
        self._has_warned = False
        self._wrappers: dict[bool, Wrapper] = {}  # by the call's return_dict
        self._override = ForwardOverride(model, Forward(self.call, signature))
        self._run_model = self._override.original
        own = model.__dict__
        self._own_context = {_CONTEXT: own[_CONTEXT]} if _CONTEXT in own else {}
        self._name_context: NameContext | None = getattr(model, _CONTEXT, None)
        self.is_live: bool = False
        self._is_attached: bool = False

    def attach(self) -> None:
        """Enter the model. If this fails, or is interrupted, `detach` undoes what was done."""
        own = self._model.__dict__
        self._is_attached = True
        own[_ATTACHED] = self
        self._blocks.attach()
        self._head.attach()
        if self._name_context is not None:
            own[_CONTEXT] = self._hear_context
        self.is_live = True
        self._override.put()

    def detach(self) -> None:
        """Leave the model as it was, bit for bit. A second call finishes what an interrupt left, or does nothing."""
        with self._requests.lock:  # another thread's call ends as it began
            if not self._is_attached:
                return
            self.is_live = False
            self._override.remove()
            self._head.remove()
            self._blocks.detach()
            own = self._model.__dict__
            own.pop(_CONTEXT, None)
            own.update(self._own_context)
            own.pop(_ATTACHED, None)
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
        self._blocks.check()
        arguments = self._arguments(args, kwargs)
        refusal = self._adapter.refuse(self._model, arguments)
        if refusal:
            raise UnsupportedBackboneError(f"{type(self._model).__name__}: {refusal}")
        latent = self._adapter.latent(arguments)
        call = Call(
            latent=latent,
            condition=self._adapter.condition(arguments),
            timestep=self._adapter.timestep(arguments),
            context=self._context.name,
            part=self._part,
            noise_level=partial(self._adapter.noise_level, arguments),
        )
        request = self._requests.current()
        if request is None:
            self._warn(
                f"{type(self._model).__name__}: it was called in a thread in which no pipeline runs, such as a pool's. "
                "Nothing is cached there, because requests could not be told apart. Call the pipeline in that thread, "
                "or give the pipeline to the function that samples, as an argument."
            )
            return self._run_model(*args, **kwargs)
        engine = request.engine
        try:
            position = request.tracker.locate(call)
            if position.new_run:
                conflicts.check_caches(self._model)
            step = engine.begin(position, latent, partial(self._adapter.guidance, arguments))
            computed = partial(engine.computed, step)
            self._head.begin(latent, step.prediction, computed)
            if step.prediction is None:
                output, feature = self._compute(step, computed, arguments, args, kwargs)
            else:
                output, feature = self._replay(step.prediction, arguments, args, kwargs), step.prediction
            engine.end(step, feature)
        except BaseException:
            # Whatever broke, the next call must not build on a half-made run.
            request.tracker.forget()
            raise
        finally:
            self._head.end()
        return output

    def _missed(self) -> None:
        """The model ran, but not through this: whatever replaced its forward later does not call the one before."""
        if self.is_live and not self._override.is_in_place:
            self._warn(
                f"{type(self._model).__name__}: it was called past the session that is attached to it, so nothing is "
                f"cached.{conflicts.forward_of(self._model)} Detach the session, and accelerate again."
            )

    def _warn(self, message: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(message, LesaWarning, stacklevel=2)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of the call, by name, including those that the forward takes as `**kwargs`."""
        named = self._bound.bind(self._model, *args, **kwargs).arguments
        for name, parameter in self._bound.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                named.update(named.pop(name, {}))
        return named

    def _compute(
        self,
        step: Step,
        computed: Callable[[Tensor], Tensor],
        arguments: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[Any, Tensor]:
        # A forward may change what it is given; the second one has to get the same.
        again = None if self._verified else (copied(args), copied(kwargs))
        watched = nullcontext() if self._blocks_are_called else self._blocks.watched(lambda: self._head.called)
        with self._around_compute(), watched:
            output = self._run_model(*args, **kwargs)
            self._head.check()
        self._blocks_are_called = True
        if self._tap is Tap.OUTPUT:
            wrapper = self._wrappers[bool(arguments.get("return_dict", True))] = wrapper_like(output)
            feature = unwrap(output)
            check_whole(feature)
            used = computed(feature)
            return (output if used is feature else wrapper(used.clone())), used
        read = self._head.feature
        assert read is not None  # the head was called
        if again is not None:
            self._verify(step, read, output, *again)
        return output, read

    def _verify(self, step: Step, feature: Tensor, output: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        def replay() -> Any:
            self._head.begin(step.latent, feature.detach().clone())
            return self._bypass(copied(args), copied(kwargs))

        verify(self._model, self._adapter, output, replay)
        self._verified = True

    def _replay(self, feature: Tensor, arguments: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        wrap = self._wrappers.get(bool(arguments.get("return_dict", True)))
        if self._tap is Tap.OUTPUT and wrap is not None:
            # The sampler owns what it gets; the history's memory will be written again.
            return wrap(feature.clone())
        output = self._bypass(args, kwargs)
        return wrapper_like(output)(feature.clone()) if self._tap is Tap.OUTPUT else output

    def _bypass(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            with self._blocks.bypassed():
                output = self._run_model(*args, **kwargs)
        except LesaError:
            raise
        except Exception as error:
            self._blocks.failed(error)
            raise
        self._head.check()
        return output

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
