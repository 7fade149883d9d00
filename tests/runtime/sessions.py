"""Tiny pipelines with a session in them."""

from __future__ import annotations

import pytest
from torch import Tensor

from lesa_framework import Predictor, Reuse, Strategy, Tap
from lesa_framework.runtime.calls.grid import SchedulerGrid
from lesa_framework.runtime.calls.tracking import Tracker
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.model.attach import Attachment
from lesa_framework.runtime.requests import Requests
from lesa_framework.session import Session
from lesa_framework.testing import (
    TinyContextDiT,
    TinyDiT,
    TinyDiTAdapter,
    TinyPipeline,
    TinyScheduler,
)
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages

COMPUTED = (0, 3, 8)


both_models = pytest.mark.parametrize("model_class", [TinyDiT, TinyContextDiT], ids=["plain", "cache_context"])


every_tap = pytest.mark.parametrize("tap", list(Tap))


def pipeline(model_class: type[TinyDiT] = TinyDiT, shift: float = 1.0) -> TinyPipeline:
    return TinyPipeline(model_class(), TinyScheduler(shift))


def strategy(computed=COMPUTED, predictor: Predictor | None = None) -> Strategy:
    return Strategy(ComputeSteps(computed), EqualStages(), predictor or Reuse())


def cached(
    pipe: TinyPipeline,
    choice: Strategy | None = None,
    tap: Tap = Tap.PRE_HEAD,
    observers=(),
    *,
    callers: bool = True,
    at_once: bool = False,
) -> Session:
    """A session; without `callers` as if no pipeline's call were on the stack."""

    def request(owner, covers_call: bool) -> tuple[Engine, Tracker]:
        engine = Engine(choice or strategy(), "tiny", tap, observers, covers_call=covers_call)
        return engine, Tracker(SchedulerGrid(owner or pipe, is_one_call=covers_call))

    requests = Requests(request, [pipe.transformer] if callers else [], at_once=at_once)
    return Session(requests, Attachment(pipe.transformer, TinyDiTAdapter(), tap, requests))


def fresh(model_class: type[TinyDiT] = TinyDiT, shift: float = 1.0, tap: Tap = Tap.PRE_HEAD, **call) -> Tensor:
    """What a session that has seen nothing else makes."""
    pipe = pipeline(model_class, shift)
    with cached(pipe, tap=tap):
        return pipe(**call)
