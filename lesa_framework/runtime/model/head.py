"""The head, the module after the block stack: where the feature is read and put back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lesa_framework.errors import PluginContractError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.runtime.model.blocks import submodule
from lesa_framework.runtime.model.per_thread import PerThread
from lesa_framework.runtime.model.sharded import Rejoin, local, same
from lesa_framework.types import Tap


def unchanged(feature: Tensor) -> Tensor:
    """The feature itself."""
    return feature


@dataclass(slots=True, eq=False)
class _Call:
    """A call of the model.

    Attributes:
        prediction: For the head; None on a computed step.
        computed: Takes the feature that was read, and returns the one for the head.
        dtype: Of features that the head is given in float32.
        shape: Of the model's input.
        times: How often the module was called.
        feature: What was read, corrected if the engine corrected it.
    """

    prediction: Tensor | None
    computed: Callable[[Tensor], Tensor]
    dtype: torch.dtype | None
    shape: torch.Size
    times: int = 0
    feature: Tensor | None = None


class _Now(PerThread):
    """The call that a thread makes."""

    call: _Call | None = None


class Head:
    """Hooks on the head of one model.

    Args:
        model: The transformer.
        adapter: Names the module.
        tap: Where the feature is taken; at the output the module is only counted.
        missed: Called when the module is called outside of `begin` and `end`.

    Raises:
        UnsupportedBackboneError: The model has no such module.
    """

    def __init__(self, model: nn.Module, adapter: BackboneAdapter, tap: Tap, missed: Callable[[], None]) -> None:
        self._model, self._adapter, self._tap, self._missed = model, adapter, tap, missed
        module = submodule(model, adapter, adapter.head)
        self._argument, self._at = hidden_place(adapter, module)
        self._module, self._now = module, _Now()
        self._handles: list[RemovableHandle] = []
        self._rejoin: dict[torch.Size | None, Rejoin] = {}  # by the shape of the model's input

    def attach(self) -> None:
        """Register the hooks."""
        self._handles.append(self._module.register_forward_pre_hook(self._before, with_kwargs=True))
        if self._tap is Tap.POST_NORM:
            self._handles.append(self._module.register_forward_hook(self._after))

    def __deepcopy__(self, memo: dict[int, Any]) -> Head:
        """A copy of an attached model is a bare one: the hooks that it copies do nothing."""
        twin = object.__new__(Head)
        twin._now, twin._missed = _Now(), _nothing
        return twin

    def remove(self) -> None:
        """Remove the hooks; again if need be."""
        for handle in self._handles:
            handle.remove()

    @property
    def feature(self) -> Tensor | None:
        """What this thread read during the call, corrected if the engine corrected it."""
        return None if self._now.call is None else self._now.call.feature

    def begin(
        self, latent: Tensor, prediction: Tensor | None, computed: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        """Start to read the feature, or to replace it by the prediction.

        Args:
            latent: The model's input.
            prediction: None on a computed step.
            computed: Takes the feature that was read; what it returns is used in its place. None to use it as it is.
        """
        dtype = latent.dtype if self._adapter.head_in_float32 else None
        self._now.call = _Call(prediction, computed or unchanged, dtype, latent.shape)

    def end(self) -> None:
        """Stop doing anything in this thread, and hold no tensor."""
        self._now.call = None

    @property
    def called(self) -> bool:
        """Whether the module was called since `begin`."""
        return self._times > 0

    def check(self) -> None:
        """Call when the model's forward has run.

        Raises:
            PluginContractError: The module was not called, or more than once: which call has the feature?
        """
        self.expect_one(self._times)

    def expect_one(self, calls: int) -> None:
        """`check` for somebody else's count of the calls."""
        if calls == 1:
            return
        times = f"was called {calls} times" if calls else "was not called, so nothing was captured"
        raise PluginContractError(
            f"{type(self._adapter).__name__}: '{self._adapter.head}' {times}, in one call of "
            f"{type(self._model).__name__}. Set `head` to the module after the block stack, which its "
            "forward calls exactly once, with the hidden state."
        )

    @property
    def _times(self) -> int:
        return 0 if self._now.call is None else self._now.call.times

    def _before(
        self,
        module: nn.Module,  # noqa: ARG002 - torch's signature
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        now = self._now.call
        if now is None:
            self._missed()
            return None
        now.times += 1
        if self._tap is not Tap.PRE_HEAD:
            return None
        given = self._hidden(args, kwargs)
        used = now.prediction
        if used is None:
            feature = self.local(given if now.dtype is None else given.to(now.dtype), now.shape)
            now.feature = used = now.computed(feature)
            if used is feature:
                return None
        hidden = self.rejoined(used if now.dtype is None else used.to(given.dtype), now.shape)
        if self._argument in kwargs:
            return args, {**kwargs, self._argument: hidden}
        return (*args[: self._at], hidden, *args[self._at + 1 :]), kwargs

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:  # noqa: ARG002 - torch's signature
        now = self._now.call
        if now is None:
            return None
        several, used = isinstance(output, tuple), now.prediction
        if used is None:
            feature = self.local(self._tensor(output[0] if several else output, "returned"), now.shape)
            now.feature = used = now.computed(feature)
            if used is feature:
                return None
        used = self.rejoined(used, now.shape)
        return (used, *output[1:]) if several else used

    def _hidden(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if self._argument in kwargs:
            return self._tensor(kwargs[self._argument], "was given")
        return self._tensor(args[self._at] if self._at < len(args) else None, "was given")

    def local(self, feature: Tensor, shape: torch.Size | None) -> Tensor:
        """This process' part of a feature; all of one that is not sharded.

        Args:
            feature: As it was read.
            shape: Of the model's input.
        """
        feature, self._rejoin[shape] = local(feature)
        return feature

    def rejoined(self, feature: Tensor, shape: torch.Size | None) -> Tensor:
        """The opposite of `local`."""
        return self._rejoin.get(shape, same)(feature)

    def _tensor(self, value: Any, verb: str) -> Tensor:
        if isinstance(value, Tensor):
            return value
        raise PluginContractError(
            f"{type(self._adapter).__name__}: '{self._adapter.head}' of {type(self._model).__name__} {verb} "
            f"{type(value).__name__} where the hidden state, a tensor, was expected. Set head_argument to the name "
            "of the argument that is the hidden state, or `head` to another module, or declare other taps."
        )


def _nothing() -> None:
    pass


def hidden_place(adapter: BackboneAdapter, module: nn.Module) -> tuple[str, int]:
    """Name of the head's argument that is the hidden state, and its place among those without a name."""
    names = list(inspect.signature(module.forward).parameters)
    name = adapter.head_argument or next(iter(names), "")
    if not adapter.head_argument:
        return name, 0
    return name, names.index(name) if name in names else len(names)


def foreign(hooks: Mapping[int, Any]) -> dict[int, Any]:
    """Those of a module's hooks that are not of a `Head`."""
    return {key: hook for key, hook in hooks.items() if not isinstance(getattr(hook, "__self__", None), Head)}
