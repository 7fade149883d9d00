"""What a computed and a predicted step cost on this machine, measured on short runs of one sample."""

from __future__ import annotations

from lesa_framework.api import attach_strategy
from lesa_framework.config.schema import LesaConfig
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.interfaces.predictor import Reuse
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.runtime.strategy import Strategy
from lesa_framework.search.budget import StepCost
from lesa_framework.search.trial import steps_config

#: Steps of the long and of the short run, and how often each is timed; the shortest time counts.
_LONG, _SHORT, _TIMES = 8, 2, 2


def measure_cost(pipe: CallablePipeline, settings: GenerationSettings, config: LesaConfig, prompt: str) -> StepCost:
    """Time three short runs: all steps computed, one step computed, and fewer steps.

    Predicted steps hold the newest feature, which costs about what any affine filter does.

    Args:
        pipe: The pipeline.
        settings: How it is called; the number of steps is not looked at.
        config: Says where the feature is taken.
        prompt: What is sampled.
    """
    schedule = steps_config((0,)).build()
    held = Strategy(schedule, config.router.build(), Reuse(), check_finite=False, history=config.engine.history.build())

    def seconds(steps: int, *, cached: bool = False) -> float:
        def run() -> float:
            return generate_batch(pipe, [prompt], [0], settings.with_steps(steps)).seconds

        if not cached:
            return min(run() for _ in range(_TIMES))
        with attach_strategy(pipe, held, config.backbone, config.backbone.tap):
            return min(run() for _ in range(_TIMES))

    seconds(_SHORT)  # the first run of anything is slow
    every, few, one = seconds(_LONG), seconds(_SHORT), seconds(_LONG, cached=True)
    computed = max(0.0, (every - few) / (_LONG - _SHORT))
    predicted = max(0.0, computed - (every - one) / (_LONG - 1))
    return StepCost(computed, predicted, max(0.0, few - _SHORT * computed))
