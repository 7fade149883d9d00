"""The module that closes the block stack: where the feature is read and put back."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework.errors import PluginContractError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.runtime.blocks import submodule
from lesa_framework.types import Tap


class Head:
    """Hooks on the head of one model.

    Args:
        model: The transformer.
        adapter: Names the module.
        tap: Where the feature is taken; at the output the module is only counted.

    Attributes:
        feature: What was read during the last call.

    Raises:
        UnsupportedBackboneError: The model has no such module.
    """

    def __init__(self, model: nn.Module, adapter: BackboneAdapter, tap: Tap) -> None:
        self._model, self._adapter, self._tap = model, adapter, tap
        module = submodule(model, adapter, adapter.head)
        self._argument = adapter.head_argument or _first_parameter(module)
        self._open, self._calls = False, 0
        self._prediction: Tensor | None = None
        self._dtype: torch.dtype | None = None
        self.feature: Tensor | None = None
        self._handles = [
            module.register_forward_pre_hook(self._before, with_kwargs=True),
            module.register_forward_hook(self._behind),
        ]

    def __deepcopy__(self, memo: dict[int, Any]) -> Head:
        """A copy of an attached model is a bare one: the hooks that it copies do nothing."""
        twin = object.__new__(Head)
        memo[id(self)] = twin
        twin._open = False
        return twin

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()

    def begin(self, latent: Tensor, prediction: Tensor | None) -> None:
        """From now on, read the feature, or put the prediction in its place."""
        self._open, self._calls, self._prediction, self.feature = True, 0, prediction, None
        self._dtype = latent.dtype if self._adapter.head_in_float32 else None

    def end(self) -> None:
        """From now on, do nothing, and hold no tensor."""
        self._open, self._prediction, self.feature = False, None, None

    @property
    def called(self) -> bool:
        """Whether the module was called since `begin`."""
        return self._calls > 0

    def check(self) -> None:
        """Call when the model's forward has run.

        Raises:
            PluginContractError: The module was not called, or more than once: which call has the feature?
        """
        if self._calls == 1:
            return
        times = "was not called, so nothing was captured" if not self._calls else f"was called {self._calls} times"
        raise PluginContractError(
            f"{type(self._adapter).__name__}: '{self._adapter.head}' {times}, in one call of "
            f"{type(self._model).__name__}. Set `head` to the module that closes the block stack, which its "
            "forward calls exactly once, with the hidden state."
        )

    def _before(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if not self._open:
            return None
        self._calls += 1
        if self._tap is not Tap.PRE_HEAD:
            return None
        given = self._hidden(module, args, kwargs)
        if self._prediction is None:
            self.feature = given if self._dtype is None else given.to(self._dtype)
            return None
        hidden = self._prediction if self._dtype is None else self._prediction.to(given.dtype)
        if self._argument in kwargs:
            return args, {**kwargs, self._argument: hidden}
        place = self._place(module)
        return (*args[:place], hidden, *args[place + 1 :]), kwargs

    def _behind(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:  # noqa: ARG002 - torch's signature
        if not self._open or self._tap is not Tap.POST_NORM:
            return None
        several = isinstance(output, tuple)
        if self._prediction is None:
            self.feature = self._tensor(output[0] if several else output, "returned")
            return None
        return (self._prediction, *output[1:]) if several else self._prediction

    def _hidden(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if self._argument in kwargs:
            return self._tensor(kwargs[self._argument], "was given")
        place = self._place(module)
        return self._tensor(args[place] if place < len(args) else None, "was given")

    def _place(self, module: nn.Module) -> int:
        if not self._adapter.head_argument:
            return 0
        names = list(inspect.signature(module.forward).parameters)
        return names.index(self._argument) if self._argument in names else len(names)

    def _tensor(self, value: Any, verb: str) -> Tensor:
        if isinstance(value, Tensor):
            return value
        raise PluginContractError(
            f"{type(self._adapter).__name__}: '{self._adapter.head}' of {type(self._model).__name__} {verb} "
            f"{type(value).__name__} where the hidden state, a tensor, was expected. Set head_argument to the name "
            "of the argument that is the hidden state, or `head` to another module, or declare other taps."
        )


def _first_parameter(module: nn.Module) -> str:
    return next(iter(inspect.signature(module.forward).parameters), "")
