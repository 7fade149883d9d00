"""The toy, and a predictor for it with one number to find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import HistoryView, Predictor, StepContext
from tests.toys import ToyAdapter, ToyPipeline, register_toy


class Slope(Predictor):
    """Stands in for `TrainableLesa`, with one number to find: `h_0 + a (h_0 - h_1)`."""

    depth = 2
    records: Literal["all", "computed"] = "all"

    def __init__(self, a: float = 0.0) -> None:
        self.a = nn.Parameter(torch.tensor(a))

    def min_history(self, stage: int) -> int:
        return 2

    def parameters(self) -> Sequence[nn.Parameter]:
        return [self.a]

    def prepare(self, sigmas: Sequence[float]) -> None:
        pass

    def restrain(self, factor: float) -> None:
        self.a.data.mul_(factor)

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        return history.feature(0) + self.a * (history.feature(0) - history.feature(1))

    def state_dict(self) -> dict[str, Tensor]:
        return {"a": self.a.detach().clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.a.data.copy_(state["a"])

    def tensors(self, sigmas: Sequence[float]) -> dict[str, Tensor]:
        return self.state_dict()

    def settings(self) -> dict[str, Any]:
        return {}


@pytest.fixture(autouse=True)
def _toy_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    register_toy(monkeypatch, "toy", ToyAdapter)


@pytest.fixture
def toy_pipeline() -> ToyPipeline:
    return ToyPipeline()


@pytest.fixture
def slope() -> Slope:
    return Slope()
