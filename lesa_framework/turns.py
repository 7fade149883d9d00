"""Which steps are computed where transformers take turns, each with a history of its own."""

from __future__ import annotations

from lesa_framework.api import plan_run
from lesa_framework.errors import LesaError
from lesa_framework.generation import GenerationSettings
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.place import Pipeline, transformers_of
from lesa_framework.runtime.strategy import Strategy


def steps_in_turns(
    pipe: Pipeline, strategy: Strategy, backbone: BackboneConfig, settings: GenerationSettings
) -> tuple[int, ...] | None:
    """The steps that a run computes where a pipeline's transformers take turns.

    Each begins with an empty history, and which steps it has, the pipeline's own code decides: so a run is rehearsed.

    Args:
        pipe: The pipeline.
        strategy: Its schedule depends on no data.
        backbone: Where it is attached.
        settings: How the pipeline is called.

    Returns:
        The steps; None where transformers take no turns, or where the call cannot be rehearsed.
    """
    if len(transformers_of(pipe)) == 1:
        return None
    try:
        run = plan_run(pipe, strategy, backbone, backbone.tap, settings.num_steps, call=settings.call)
    except LesaError:  # whatever is wrong with it, the run will tell
        return None
    return tuple(step for step, letter in enumerate(run.letters) if letter == "F") if run.has_turns else None
