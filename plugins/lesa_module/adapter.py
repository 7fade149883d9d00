"""An adapter whose layout comes from a configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from lesa_framework import Arguments, BackboneAdapter, UnsupportedBackboneError
from lesa_module.formula import Formula

#: Rounded timesteps may leave [0, 1] by this much.
_MARGIN = 0.02


@dataclass(frozen=True)
class Layout:
    """A model's layout, checked against the model.

    Attributes:
        model_class: Name of the model's class.
        blocks: Paths of the containers of blocks.
        head: Path of the head.
        head_argument: Its argument that is the hidden state; the first when empty.
        block_returns: As in [`BackboneAdapter`][lesa_framework.BackboneAdapter].
        latent: Name of the argument that holds the latent.
        conditions: Names of the arguments that may tell branches apart, in their order.
        any_condition: Whether arguments that the forward takes as `**kwargs` may do so too.
    """

    model_class: str
    blocks: tuple[str, ...]
    head: str
    head_argument: str
    block_returns: Mapping[str, tuple[str, ...]]
    latent: str
    conditions: tuple[str, ...]
    any_condition: bool


class ModuleAdapter(BackboneAdapter):
    """Reads the calls of a model as a configuration describes them.

    Args:
        layout: The model's layout.
        sigma: The noise level, from one argument.
    """

    unverified = True

    def __init__(self, layout: Layout, sigma: Formula) -> None:
        self.model_class, self.blocks = layout.model_class, layout.blocks
        self.head, self.head_argument = layout.head, layout.head_argument
        self.block_returns = layout.block_returns
        self.latent_argument, self.timestep_argument = layout.latent, sigma.name
        self.condition_argument = next(iter(layout.conditions), None)
        self._layout, self._sigma = layout, sigma
        super().__init__()

    def latent(self, arguments: Arguments) -> Tensor:
        """The current latent, read-only; a list of tensors of one shape is stacked."""
        latent = self._given(arguments, self.latent_argument, "latent")
        if isinstance(latent, Tensor | list | tuple):
            return super().latent(self._named(arguments))
        raise UnsupportedBackboneError(
            f"backbone.latent: '{self.latent_argument}' of {self.model_class} is a {type(latent).__name__}, "
            f"not a tensor. Name another argument; the call has: {', '.join(self._named(arguments))}."
        )

    def condition(self, arguments: Arguments) -> Tensor | None:
        """The first tensor among the arguments that may tell branches apart; None when the call has none."""
        return next(self._conditions(arguments), None)

    def timestep(self, arguments: Arguments) -> Tensor | float:
        """The argument that the noise level is computed from."""
        timestep = self._given(arguments, self.timestep_argument, "sigma")
        if isinstance(timestep, Tensor | float | int):
            return timestep
        raise UnsupportedBackboneError(
            f"backbone.sigma: '{self.timestep_argument}' of {self.model_class} is a {type(timestep).__name__}, "
            "neither a tensor nor a number."
        )

    def noise_level(self, arguments: Arguments) -> Tensor | float:
        """The formula's value; a tensor stays on its device."""
        return self._sigma(self.timestep(arguments))

    def shifted(self, arguments: Arguments, shift: float | Tensor) -> Tensor | float:
        """The timestep at another noise level; the timestep itself where the formula is no straight line."""
        start, middle, end = (float(self._sigma(value)) for value in (0.0, 0.5, 1.0))
        slope = end - start
        is_straight = slope != 0 and math.isclose(middle - start, slope / 2, rel_tol=1e-6)
        return self.timestep(arguments) + shift / slope if is_straight else self.timestep(arguments)

    def refuse(self, model: nn.Module, arguments: Arguments) -> str | None:  # noqa: ARG002 - the contract's signature
        """Refuses invalid noise levels, where checking needs no synchronisation."""
        timestep = self.timestep(arguments)
        if isinstance(timestep, Tensor) and (timestep.device.type != "cpu" or not timestep.numel()):
            return None
        level = self._sigma(timestep)
        if isinstance(level, Tensor):
            first = float(level.flatten()[0])
            if bool((level != first).any()):
                return "the samples of a batch are at different noise levels, which cannot be cached together."
            level = first
        if math.isfinite(level) and -_MARGIN <= level <= 1 + _MARGIN:
            return None
        return (
            f"backbone.sigma: '{self._sigma.text}' gave {level:.6g}, but noise levels are in [0, 1]; 1 is noise. "
            f"For timesteps up to 1000 write '{self._sigma.name}/1000', for a time from noise to data "
            f"'1 - {self._sigma.name}'."
        )

    def _conditions(self, arguments: Arguments) -> Iterator[Tensor]:
        named = self._named(arguments)
        names = [*self._layout.conditions]
        if self._layout.any_condition:
            known = {*names, self.latent_argument, self.timestep_argument}
            names += [name for name in named if name not in known]
        for name in names:
            value = named.get(name)
            first = value[0] if isinstance(value, list | tuple) and value else value
            if isinstance(first, Tensor):
                yield first

    def _given(self, arguments: Arguments, name: str, option: str) -> object:
        named = self._named(arguments)
        if name in named:
            return named[name]
        raise UnsupportedBackboneError(
            f"backbone.{option}: {self.model_class} was called without '{name}'. "
            f"The call has: {', '.join(named) or 'nothing'}."
        )

    def _named(self, arguments: Arguments) -> dict[str, object]:
        """The call's arguments by name, without the model itself."""
        return dict(list(arguments.items())[1:])
