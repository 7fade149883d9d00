"""How a computed step is asked, once a predictor's wish meets the latents of a run."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lesa_framework.interfaces.predictor import Predictor, returned
from lesa_framework.runtime.calls.levels import Grid
from lesa_framework.types import StepContext, Tuning


@dataclass(frozen=True, eq=False)
class Asking:
    """What the model gets in place of the sampler's latent and noise level.

    Attributes:
        shift: Added to what the model is told: the noise level, or what the sampler tells in place of it.
        scale: Factor of the latent.
        moved: Added to the latent after that; None for nothing.
    """

    shift: float | Tensor = 0.0
    scale: float | Tensor = 1.0
    moved: Tensor | None = None


def tuning_of(predictor: Predictor, ctx: StepContext) -> Tuning | None:
    """How a predictor wishes to ask the model at a step that is computed.

    Raises:
        PluginContractError: It returns something else than a tuning.
    """
    found = predictor.tuning(ctx)
    return None if found is None else returned(found, Tuning, predictor, "tuning")


def asking(tuning: Tuning | None, ctx: StepContext, before: tuple[int, Tensor] | None, grid: Grid) -> Asking | None:
    """A tuning as numbers and tensors of this step.

    Args:
        tuning: What the predictor wishes.
        ctx: The step.
        before: The branch's computed step before, and its latent; None when it was not kept, or there is none.
        grid: The run's.

    Returns:
        None to ask as the sampler does.
    """
    if tuning is None:
        return None
    ahead = tuning.ahead
    if before is None or ctx.latent is None or not (isinstance(ahead, Tensor) or ahead):
        return Asking(grid.told_shift(ctx.index, tuning.shift), tuning.scale)
    step, latent = before
    shift = tuning.shift + ahead * (ctx.sigma - ctx.sigmas[step])
    return Asking(grid.told_shift(ctx.index, shift), tuning.scale, ahead * (ctx.latent - latent))
