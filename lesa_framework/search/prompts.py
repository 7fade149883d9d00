"""Which prompts candidates are fitted on, which they are tried on, and which only the best are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lesa_framework.errors import ConfigError
from lesa_framework.interfaces.fit import Batch
from lesa_framework.training.task import make_batches

#: The fewest prompts to fit on and to judge on.
LEAST = 2
#: Which shares of the prompts a candidate has been tried on after each rung.
_RUNGS = (1 / 8, 3 / 8, 1.0)


@dataclass(frozen=True)
class Prompts:
    """Prompts with their seeds, divided.

    Attributes:
        fit: Batches that the best is fitted on in the end: three quarters of all.
        quick: Some of them, one batch: candidates are fitted on it.
        rungs: The others of them, which candidates are tried on, rung after rung. Where nothing is fitted, all of them.
        judge: Batches that neither a fit nor the search sees: a quarter of all. The best are compared on
            them, and chosen with their help.
    """

    fit: tuple[Batch, ...]
    quick: Batch
    rungs: tuple[tuple[Batch, ...], ...]
    judge: tuple[Batch, ...]

    @property
    def fitted(self) -> tuple[str, ...]:
        """The prompts that are fitted on."""
        return tuple(prompt for batch in self.fit for prompt in batch.prompts)

    @property
    def tried(self) -> int:
        """How many prompts a candidate is tried on."""
        return _count([batch for rung in self.rungs for batch in rung])

    @property
    def judged(self) -> int:
        """How many prompts the best are compared on."""
        return _count(self.judge)


def divided(prompts: Sequence[str], batch: int, seed: int, *, fits: bool) -> Prompts:
    """Divide prompts, each of which counts once: one that is fitted on must not be among those to judge on.

    Args:
        prompts: All of them.
        batch: The most prompts a rollout.
        seed: Of their noise, as in `lesa train`: the first three quarters get the seeds that it gives them.
        fits: Whether candidates are fitted.

    Raises:
        ConfigError: There are fewer than two to fit on or two to judge on.
    """
    prompts = list(dict.fromkeys(prompts))
    if len(prompts) < 2 * LEAST:
        raise ConfigError(
            f"--prompts: a search needs at least {2 * LEAST} different prompts, {LEAST} to fit on and {LEAST} to "
            f"judge on; found {len(prompts)}. Three quarters are for the fit; 24 to 32 are a good start."
        )
    (whole,) = make_batches(prompts, len(prompts), seed)
    fit, judge = _parts(whole, [len(prompts) - max(LEAST, round(len(prompts) / 4))])
    quick, unseen = _parts(fit, [min(batch, len(fit.prompts) // 2)])
    tried = unseen if fits else fit
    ends = [max(LEAST, round(share * len(tried.prompts))) for share in _RUNGS[:-1]]
    rungs = [_small(rung, batch) for rung in _parts(tried, ends) if rung.prompts]
    return Prompts(_small(fit, batch), quick, tuple(rungs), _small(judge, batch))


def _count(batches: Sequence[Batch]) -> int:
    return sum(len(batch.prompts) for batch in batches)


def _parts(batch: Batch, ends: Sequence[int]) -> list[Batch]:
    edges = [0, *ends, len(batch.prompts)]
    return [Batch(batch.prompts[start:end], batch.seeds[start:end]) for start, end in pairwise(edges)]


def _small(batch: Batch, size: int) -> tuple[Batch, ...]:
    return tuple(_parts(batch, list(range(size, len(batch.prompts), size))))
