"""What is attached: the predictors, on schedules that are told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from benchmarks.micro.stages import Attach, Stage
from lesa_framework import (
    AffinePredictor,
    EntryInfo,
    Filter,
    OneStage,
    Reuse,
    StepContext,
    Strategy,
    attach_strategy,
    load_config,
)
from lesa_framework.building import build_strategy
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.plugin.registry import AUTO
from lesa_schedules.schedules import Steps
from lesa_taylorseer.predictor import TaylorSeer


class Mean(AffinePredictor):
    """The mean of the newest features: as many features as it is deep, and no arithmetic of its own."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._filter = Filter((1 / depth,) * depth)

    def min_history(self, stage: int) -> int:  # noqa: ARG002 - the contract's signature
        """Full."""
        return self.depth

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:  # noqa: ARG002 - the contract's signature
        """The same at every step."""
        return self._filter


@dataclass(frozen=True)
class Method:
    """A predictor with the steps that are computed.

    Attributes:
        name: Of its row.
        family: Kind of its predictor.
        strategy: What is attached.
        backbone: Kind of the adapter, and the tap.
    """

    name: str
    family: str
    strategy: Strategy
    backbone: BackboneConfig

    def on(self, stage: Stage) -> Attach:
        """Attaches it, for the length of a context."""
        return partial(self._attached, stage)

    def _attached(self, stage: Stage) -> AbstractContextManager[object]:
        backbone = stage.backbone if self.backbone.kind == AUTO else self.backbone
        return attach_strategy(stage.pipe, self.strategy, backbone, self.backbone.tap)


def told(name: str, predictor: AffinePredictor, computed: Sequence[int], backbone: str = "auto") -> Method:
    """A predictor without stages on given steps, at the tap before the head."""
    strategy = Strategy(Steps(tuple(computed)), OneStage(), predictor)
    return Method(name, name.partition(" ")[0], strategy, BackboneConfig(kind=backbone))


def predictors(computed: Sequence[int]) -> list[Method]:
    """One, three and eight features; the last is the LESA that the bundled FLUX comes with, on its own steps."""
    preset = load_config("ref-flux-lesa-paper-n7")
    lesa = Method("lesa", "lesa", build_strategy(preset), preset.backbone)
    return [told("reuse", Reuse(), computed), told("taylorseer", TaylorSeer(order=2), computed), lesa]
