"""Chooses the cache of a run when the run begins and its noise levels are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lesa_framework.artifacts import same_grid
from lesa_framework.automatic.budget import Budget, nothing_to_gain
from lesa_framework.automatic.matching import Nearness, Refusal, chosen, strategy_for
from lesa_framework.automatic.shelf import PRESET, Weights
from lesa_framework.config.schema import LesaConfig
from lesa_framework.model_info import ModelInfo
from lesa_framework.runtime.strategy import Strategy
from lesa_framework.runtime.uncached import uncached
from lesa_framework.types import RunInfo, Tap
from lesa_framework.warning import warn

#: Of weights that came equally close, or of which that is unknown, these kinds first.
_KINDS: Final = ("fitted", "lesa")
#: Runs whose choice is kept: a server may take turns between as many resolutions and step counts.
_RUNS: Final = 32


class Chooser:
    """The source of each run's strategy: weights that fit, else a cache that needs none, else computed steps.

    Args:
        budget: How many steps may be computed.
        shelf: Weights to choose from.
        config: The cache that needs none.
        fallback: What it asks for.
    """

    def __init__(self, budget: Budget, shelf: Sequence[Weights], config: LesaConfig, fallback: Strategy) -> None:
        self._budget, self._shelf, self._config, self._fallback = budget, tuple(shelf), config, fallback
        self._chosen: dict[RunInfo, Strategy] = {}
        self._warned = False

    def tap(self, backbone: str, models: tuple[ModelInfo, ...], taps: Sequence[Tap]) -> Tap:
        """Where the features of a session are taken: where the best weights of these models want them.

        Args:
            backbone: Kind of the adapter.
            models: The pipeline's transformers.
            taps: The taps that work on them, the first one preferred.
        """
        for weights in sorted(self._shelf, key=_rank):
            run = replace(weights.metadata.run, backbone=backbone, models=models)
            if run.tap in taps and isinstance(strategy_for(weights, run, self._budget), Strategy):
                return run.tap
        return Tap.PRE_HEAD if Tap.PRE_HEAD in taps else taps[0]

    def for_run(self, run: RunInfo) -> Strategy:
        """The strategy of a run; the same one for the same run."""
        if run not in self._chosen:
            if len(self._chosen) >= _RUNS:
                del self._chosen[next(iter(self._chosen))]
            self._chosen[run] = self._choose(run)
        return self._chosen[run]

    def _choose(self, run: RunInfo) -> Strategy:
        if not run.sigmas:
            return uncached("the noise levels of its calls are unknown", 0)
        steps = len(run.sigmas) - 1
        objection = self._budget.objection(steps)
        if objection is not None:
            return self._nothing(objection, run)
        nearest: tuple[Nearness, str] = (Nearness.OTHER_MODEL, "")
        on_its_grid = {weights: same_grid(weights.metadata.sigmas, run.sigmas) for weights in self._shelf}
        for weights in sorted(self._shelf, key=lambda weights: (not on_its_grid[weights], *_rank(weights))):
            found = strategy_for(weights, run, self._budget)
            if not isinstance(found, Refusal):
                return found
            if found.nearness > nearest[0]:
                nearest = found.nearness, f"{weights.name} {found.reason}"
        return self._without_weights(run, nearest[1] or "none for this model were found")

    def _without_weights(self, run: RunInfo, why: str) -> Strategy:
        steps, predictor = len(run.sigmas) - 1, self._config.predictor
        nfe = self._fallback.nfe(run.sigmas)
        assert nfe is not None  # its schedule is static
        objection = nothing_to_gain(nfe, steps)
        if objection is not None:
            return self._nothing(objection, run)
        return chosen(self._fallback, run, predictor.kind, predictor.kind, "no weights", f"no weights fit: {why}")

    def _nothing(self, reason: str, run: RunInfo) -> Strategy:
        if not self._warned:
            self._warned = True
            warn(f"accelerate: {reason}. Every step is computed.")
        return uncached(reason, run.steps_to_run)


def _rank(weights: Weights) -> tuple[bool, float, int, str]:
    """Best first: those in the user's folder, then those that came closest to the uncached run."""
    kind = weights.config.predictor.kind
    drift = float("-inf") if weights.drift_db is None else weights.drift_db
    return weights.source == PRESET, -drift, _KINDS.index(kind) if kind in _KINDS else len(_KINDS), weights.name
