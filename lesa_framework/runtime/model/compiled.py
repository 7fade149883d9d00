"""What a user compiled of a whole model: led past a session's decisions, and used for the model's own forward."""

from __future__ import annotations

import copy
import inspect
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias, cast

from torch import Tensor, nn

from lesa_framework.errors import UnsupportedBackboneError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.layout import unwrapped
from lesa_framework.runtime.model.override import COMPILED, LAZY, WRAPPED
from lesa_framework.runtime.model.twins import Ran, Twin
from lesa_framework.types import Tap

#: Compiles a function as the user wanted it: `torch.compile(backend=..., mode=..., ...)`.
Compile: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

_FORWARDS = ("forward", "_forward")  # where a wrapper has it


class Variants:
    """A model's forward, compiled twice: with its blocks and without.

    Args:
        model: The transformer.
        adapter: How it is laid out.
        tap: Where the feature is.
        compile_: Compiles each.

    Attributes:
        is_checked: Whether the uncompiled model has shown that the adapter fits.
    """

    def __init__(self, model: nn.Module, adapter: BackboneAdapter, tap: Tap, compile_: Compile) -> None:
        self.compile_ = compile_
        self._full = Twin(model, adapter, tap, bypassed=False)
        self._bypassed = Twin(model, adapter, tap, bypassed=True)
        self._run_full, self._run_bypassed = compile_(self._full.run), compile_(self._bypassed.run)
        self.is_checked = False

    def full(self, model: nn.Module, latent: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ran:
        """Run the model, and read the feature."""
        try:
            output, read, calls = self._run_full(*self._full.arguments(model, latent, None), args, kwargs)
        finally:
            self._full.clear()
        return output, None if read is None else read.clone(), calls  # CUDA graphs write there again

    def bypassed(
        self, model: nn.Module, latent: Tensor, feature: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Ran:
        """Run the model without its blocks, and put the feature into its head."""
        if feature._base is not None:
            # A reused feature is a view of a history, and other predictions are none. A compiler that knows shapes as
            # symbols would compile again, for the shape of what is viewed and where in it the feature begins.
            feature = feature.clone()
        try:
            ran: Ran = self._run_bypassed(*self._bypassed.arguments(model, latent, feature), args, kwargs)
        finally:
            self._bypassed.clear()
        return ran


#: Compiling takes minutes, and sessions come and go: what one has compiled serves the next.
_MADE: weakref.WeakKeyDictionary[nn.Module, dict[Any, Variants]] = weakref.WeakKeyDictionary()


def variants_of(model: nn.Module, adapter: BackboneAdapter, tap: Tap, compile_: Compile) -> Variants:
    """The variants of a model, those of an earlier session if they fit."""
    made = _MADE.setdefault(model, {})
    if any(each.compile_ is not compile_ for each in made.values()):
        made.clear()  # the user compiled anew
    returns = tuple(sorted(adapter.block_returns.items()))
    key = (tap, adapter.blocks, adapter.head, adapter.head_argument, adapter.head_in_float32, returns)
    if key not in made:
        made[key] = Variants(model, adapter, tap, compile_)
    return made[key]


def compiler_of(call: Any) -> Compile | None:
    """What `torch.compile` compiles with, of something that it made of a function; None for anything else.

    It is what a wrapper of a module has as its `dynamo_ctx`. What is made of a function has it in the closure of the
    function that tells its configuration.
    """
    if getattr(call, "_torchdynamo_wrapper_id", None) != id(call):  # none, or a copy of its attributes
        return None
    compile_: Compile | None = inspect.getclosurevars(call.get_compiler_config).nonlocals.get("self")
    return compile_


def uncompiled(call: Callable[..., Any]) -> Callable[..., Any]:
    """What was compiled, of something that `torch.compile` made of a function; anything else itself."""
    inner: Callable[..., Any] = call if compiler_of(call) is None else call._torchdynamo_orig_callable  # type: ignore[attr-defined]
    return inner


class Compilation:
    """What is compiled of a model, by `model.compile()` or `torch.compile(model)`, before a session or during one.

    Both compile the model's call, with all that happens in it. While a session is attached its calls are led past
    that, to the model's own `forward`, which the session replaces; it compiles what it calls in its turn.

    Args:
        called: The model, or what `torch.compile` wrapped it in.

    Raises:
        UnsupportedBackboneError: The model's call is compiled, but not by `torch.compile`.
    """

    def __init__(self, called: nn.Module) -> None:
        self._model: nn.Module = unwrapped(called)
        self._called = called
        compiled = self._model._compiled_call_impl
        if compiled is not None and compiled != self._model._call_impl and compiler_of(compiled) is None:
            raise UnsupportedBackboneError(
                f"{type(self._model).__name__}: its call is compiled, but not by torch.compile, and would record one "
                "step, where a session computes some and predicts others. Use `transformer.compile()`."
            )
        self._compiled: Any = None  # what model.compile() made
        own = self._model.__dict__
        self._own = {name: own[name] for name in ("compile", *LAZY) if name in own}
        self._led: list[tuple[nn.Module, dict[str, Any]]] = []  # wrappers, with the forwards that they had
        self._is_attached = False
        #: How the user compiled; None if not.
        self.compile_: Compile | None = None

    def attach(self, forward: Callable[..., Any]) -> None:
        """Lead what is compiled by now past the compiler, and hear of what will be.

        Args:
            forward: The model's own, which may be compiled.
        """
        own = self._model.__dict__
        self._is_attached = True
        self._compiled = own.get(COMPILED)
        self.compile_ = compiler_of(forward) or compiler_of(self._compiled)
        if self._compiled is not None:
            del own[COMPILED]
        own["compile"] = self._hear
        own[LAZY[0]], own[LAZY[1]] = None, self._meet
        if self._called is not self._model:
            self._lead(self._called)

    def detach(self) -> None:
        """Give everything back."""
        if not self._is_attached:
            return
        own = self._model.__dict__
        for wrapper, forwards in self._led:
            for name, forward in forwards.items():
                if wrapper.__dict__.get(name) == self._model.__call__:
                    wrapper.__dict__[name] = forward
                if own.get(WRAPPED) == self._model.__call__:  # accelerate's hook on the wrapper keeps it there
                    own[WRAPPED] = forward
        for name in ("compile", *LAZY):
            own.pop(name, None)
        own.update(self._own)
        if self._compiled is not None:
            own[COMPILED] = self._compiled
        self._led, self._is_attached = [], False

    def __deepcopy__(self, memo: dict[int, Any]) -> Compilation:
        """That of a copied model, to which nothing is attached: it compiles as ever."""
        twin = Compilation.__new__(Compilation)
        memo[id(self)] = twin
        twin._model = copy.deepcopy(self._model, memo)
        twin._is_attached = False
        return twin

    def _hear(self, *args: Any, **kwargs: Any) -> None:
        """Replaces the model's `compile`."""
        model = self._model
        type(model).compile(model, *args, **kwargs)
        if self._is_attached:
            self._compiled = model.__dict__[COMPILED]
            del model.__dict__[COMPILED]
            self.compile_ = compiler_of(self._compiled)

    def _meet(self, *_: Any) -> None:
        """Called by a wrapper that was made while the session was attached, before what it compiled."""
        frame: FrameType | None = sys._getframe(1)
        wrapper = None if frame is None else frame.f_locals.get("self")
        if self._is_attached and type(wrapper).__name__ == "OptimizedModule" and unwrapped(wrapper) is self._model:
            self._lead(cast("nn.Module", wrapper))

    def _lead(self, wrapper: nn.Module) -> None:
        own = wrapper.__dict__
        if any(wrapper is other for other, _ in self._led):
            return
        forwards = {name: own[name] for name in _FORWARDS if name in own and _is_torchs(own[name])}
        self._led.append((wrapper, forwards))
        for name in forwards:
            own[name] = self._model.__call__
        self.compile_ = own["dynamo_ctx"]


def _is_torchs(forward: Any) -> bool:
    """Whether a wrapper's forward is the one that it came with."""
    return compiler_of(forward) is not None or getattr(forward, "__name__", "") == "_call_lazy_check"
