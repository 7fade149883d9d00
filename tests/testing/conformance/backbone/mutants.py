"""Adapters, models and engines that are each wrong in one way."""

from __future__ import annotations

from tests.testing.conformance.backbone.wrong_layouts import LAYOUT, REPLAY
from tests.testing.conformance.backbone.wrong_runs import BRANCHES, OTHERS, RUNS

MUTANTS = [*LAYOUT, *REPLAY, *BRANCHES, *RUNS, *OTHERS]
