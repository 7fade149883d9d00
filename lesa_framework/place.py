"""Where a cache is attached: the transformers of a pipeline, or a transformer alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from lesa_framework.backbones import AdapterMatch, find_adapter
from lesa_framework.errors import ConfigError, UnsupportedBackboneError
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.layout import unwrapped
from lesa_framework.model_info import ModelInfo
from lesa_framework.runtime.calls.grid import FixedGrid
from lesa_framework.runtime.calls.readings import Scheduler
from lesa_framework.types import Tap


class Pipeline(Protocol):
    """The part of a diffusers pipeline that is used; some have a second transformer."""

    transformer: nn.Module
    scheduler: Scheduler


#: Where pipelines keep their transformers; those that a pipeline lacks, or has as None, are skipped.
TRANSFORMERS = ("transformer", "transformer_2", "unconditional_transformer")


@dataclass(frozen=True)
class Place:
    """The transformers of a target.

    Attributes:
        target: A pipeline, or a transformer.
        models: By attribute name, the first one first.
        found: The adapter of each.
        fixed: The grid that the user gave.
        bare: Whether the target is a transformer.
    """

    target: Any
    models: dict[str, nn.Module]
    found: dict[str, AdapterMatch]
    fixed: FixedGrid | None
    bare: bool

    @property
    def kind(self) -> str:
        """Kind of the first one's adapter."""
        return next(iter(self.found.values())).kind

    @property
    def taps(self) -> list[Tap]:
        """Those that work on all."""
        return [tap for tap in Tap if all(tap in match.adapter.taps for match in self.found.values())]

    def look(self) -> tuple[ModelInfo, ...]:
        """What tells them from others, as they are now."""
        return tuple(match.describe(self.models[name]) for name, match in self.found.items())

    def check_tap(self, tap: Tap) -> None:
        """Refuse a tap that one of them does not have.

        Raises:
            UnsupportedBackboneError: One has not; the message names those that it has.
        """
        for name, match in self.found.items():
            if tap not in match.adapter.taps:
                raise UnsupportedBackboneError(
                    f"backbone.tap: '{tap}' does not work on {type(self.models[name]).__name__}. "
                    f"Valid: {', '.join(match.adapter.taps)}."
                )

    @staticmethod
    def name_of(attribute: str) -> str:
        """What is added to the names of a transformer's branches; empty for the first."""
        return "" if attribute == TRANSFORMERS[0] else attribute

    def exchanged(self) -> str:
        """Names those in whose place the target has another model, which neither is nor holds one of them."""
        now = {} if self.bare else {name: unwrapped(getattr(self.target, name, None)) for name in self.models}
        return " and ".join(name for name, model in now.items() if model is not None and not self._holds_one(model))

    def _holds_one(self, model: object) -> bool:
        # A module that was put around one, as peft's, calls it. The model itself is the first of its modules.
        parts = model.modules() if isinstance(model, nn.Module) else iter((model,))
        return any(part is each for part in parts for each in self.models.values())

    def called(self, name: str) -> nn.Module:
        """What is called in a transformer's place: itself, or what `torch.compile` wrapped it in."""
        called: nn.Module = self.target if self.bare else getattr(self.target, name)
        return called


def place_of(
    target: Pipeline | nn.Module,
    sigmas: Sequence[float] | None,
    backbone: str | BackboneConfig,
    *,
    is_hosted: bool = False,
) -> Place:
    """The transformers of a target, each with its adapter.

    Args:
        target: A pipeline, or a transformer.
        sigmas: The grid that the user gave.
        backbone: Which adapter.
        is_hosted: A host tells the noise levels.

    Raises:
        UnsupportedBackboneError: It has none, no adapter fits, or a bare transformer comes without noise levels.
    """
    if is_hosted and sigmas is not None:
        raise ConfigError("accelerate: got sigmas and a host, which tells the noise levels of each run. Give one.")
    models, fixed = _split(target, sigmas, is_hosted=is_hosted)
    return Place(
        target, models, {name: find_adapter(model, backbone) for name, model in models.items()}, fixed, _is_bare(target)
    )


def _is_bare(target: object) -> bool:
    """Whether it is a transformer, not a pipeline; a few pipelines are modules too."""
    is_pipeline = bool(transformers_of(target)) and getattr(target, "scheduler", None) is not None
    return isinstance(target, nn.Module) and not is_pipeline


def _split(
    target: Pipeline | nn.Module, sigmas: Iterable[float] | None, *, is_hosted: bool
) -> tuple[dict[str, nn.Module], FixedGrid | None]:
    if _is_bare(target):
        assert isinstance(target, nn.Module)
        if is_hosted:
            return {TRANSFORMERS[0]: unwrapped(target)}, None
        if sigmas is None or (isinstance(sigmas, Sized) and len(sigmas) < 2):
            raise UnsupportedBackboneError(
                "accelerate: a bare transformer does not know its noise levels. "
                "Pass sigmas=[...], the sampler's grid with the final 0, or pass the whole pipeline."
            )
        return {TRANSFORMERS[0]: unwrapped(target)}, FixedGrid(sigmas)
    models = transformers_of(target)
    if not models:
        raise UnsupportedBackboneError(
            f"accelerate: {type(target).__name__} is neither a torch module nor a pipeline with a `transformer`."
        )
    return models, None if sigmas is None else FixedGrid(sigmas)


def transformers_of(pipe: object) -> dict[str, nn.Module]:
    """A pipeline's transformers by attribute name, the first one first; empty when it has none.

    Those that `torch.compile` has wrapped come without what wraps them.
    """
    found: dict[str, nn.Module] = {}
    for name in TRANSFORMERS:
        model = unwrapped(getattr(pipe, name, None))
        if isinstance(model, nn.Module) and all(model is not other for other in found.values()):
            found[name] = model
    return found


def first_weight(pipe: object) -> nn.Parameter:
    """A weight of a pipeline's first transformer, for its device and dtype."""
    return next(next(iter(transformers_of(pipe).values())).parameters())
