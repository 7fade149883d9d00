"""Which prompts candidates are fitted on, and which they are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lesa_framework.errors import ConfigError
from lesa_framework.interfaces.fit import Batch
from lesa_framework.training.run import make_batches

#: The fewest prompts for either purpose.
LEAST = 2


@dataclass(frozen=True)
class Prompts:
    """Prompts with their seeds, divided.

    Attributes:
        fit: Batches to fit on: three quarters.
        judge: Batches to judge on, which no fit sees: a quarter, and at least two prompts.
        rungs: The judge prompts again: the first quarter of them, then the others.
    """

    fit: tuple[Batch, ...]
    judge: tuple[Batch, ...]
    rungs: tuple[tuple[Batch, ...], ...]

    @property
    def judged(self) -> int:
        """How many prompts judge."""
        return sum(len(batch.prompts) for batch in self.judge)

    @property
    def fitted(self) -> tuple[str, ...]:
        """The prompts that are fitted on."""
        return tuple(prompt for batch in self.fit for prompt in batch.prompts)


def divided(prompts: Sequence[str], batch: int, seed: int) -> Prompts:
    """Divide prompts: three quarters to fit on, the last quarter to judge on.

    Args:
        prompts: All of them.
        batch: The most prompts a rollout.
        seed: Of their noise, as in `lesa train`: the first three quarters get the seeds that it gives them.

    Raises:
        ConfigError: There are fewer than two for either purpose.
    """
    if len(prompts) < 2 * LEAST:
        raise ConfigError(
            f"--prompts: a search needs at least {2 * LEAST} prompts, {LEAST} to fit on and {LEAST} to judge on; "
            f"found {len(prompts)}. Three quarters are fitted on; 64 are usual."
        )
    for_judging = max(LEAST, round(len(prompts) / 4))
    (whole,) = make_batches(prompts, len(prompts), seed)
    fit, judge = _parts(whole, [len(prompts) - for_judging])
    first, others = _parts(judge, [max(1, for_judging // 4)])
    rungs = (_small(first, batch), _small(others, batch))
    return Prompts(_small(fit, batch), _small(first, batch) + _small(others, batch), rungs)


def _parts(batch: Batch, ends: Sequence[int]) -> list[Batch]:
    edges = [0, *ends, len(batch.prompts)]
    return [
        Batch(batch.prompts[start:end], batch.seeds[start:end])
        for start, end in pairwise(edges)
    ]  # fmt: skip


def _small(batch: Batch, size: int) -> tuple[Batch, ...]:
    return tuple(_parts(batch, list(range(size, len(batch.prompts), size))))
