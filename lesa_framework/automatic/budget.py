"""How many steps may be computed."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan
from numbers import Real
from typing import Final

from lesa_framework.errors import ConfigError, shown
from lesa_framework.interfaces.schedule import steps_at

#: What is taken when the user names none: about what caches reach without a visible loss.
DEFAULT_SPEEDUP: Final = 5.0
#: Weights may compute this much more than the budget, and this much of it at least. On the bundled models one computed
#: step more in ten is worth one to two dB, about as much as LESA's weights are: with far fewer computed steps than were
#: allowed, the cache without weights that uses them all is closer to the uncached run.
_MOST, _LEAST = 1.05, 0.85


@dataclass(frozen=True)
class Budget:
    """A speed-up that was asked for: steps of a run over computed steps.

    Args:
        speedup: Above 1.

    Raises:
        ConfigError: It is no number above 1.
    """

    speedup: float = DEFAULT_SPEEDUP

    def __post_init__(self) -> None:
        speedup: object = self.speedup  # notebooks have no type checker
        try:  # numpy's numbers too
            number = nan if isinstance(speedup, bool) or not isinstance(speedup, Real) else float(speedup)
        except OverflowError:
            number = inf
        if not 1 < number < inf:
            raise ConfigError(
                f"speedup: {shown(speedup)} is not a number above 1. With 5, one step in five is computed; to compute "
                "every step, do not accelerate."
            )

    def steps(self, num_steps: int) -> int:
        """How many steps of a run may be computed."""
        return steps_at(self.speedup, num_steps)

    def allows(self, nfe: int, num_steps: int) -> bool:
        """Whether weights that compute `nfe` steps of a run make use of the budget and keep to it."""
        steps = self.steps(num_steps)
        return _LEAST * steps <= nfe <= _MOST * steps

    def objection(self, num_steps: int) -> str | None:
        """Why a run gains nothing, in words; None if it may gain something."""
        if num_steps <= self.speedup:
            return (
                f"there is nothing to gain in a run of {num_steps} steps: {self.speedup:g}x leaves one computed step, "
                "and a cache needs two"
            )
        return nothing_to_gain(self.steps(num_steps), num_steps)


def nothing_to_gain(nfe: int, num_steps: int) -> str | None:
    """Why a run with so many computed steps gains nothing, in words; None if it gains something."""
    if nfe < num_steps - 1:
        return None
    return f"there is nothing to gain in a run of {num_steps} steps: {min(nfe, num_steps)} of them would be computed"
