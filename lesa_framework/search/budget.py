"""How many steps may be computed: given as a number, as a speed-up, or as seconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from lesa_framework.errors import ConfigError
from lesa_framework.interfaces.schedule import steps_at

_ONE_OF = "Give exactly one of --nfe 10, --speedup 5 and --seconds 2.0."


@dataclass(frozen=True)
class StepCost:
    """What a run of one sample costs, in seconds.

    Attributes:
        computed: One computed step.
        predicted: One predicted step.
        around: Everything else, such as reading the prompt and decoding the sample.
    """

    computed: float
    predicted: float
    around: float

    def run(self, nfe: int, total: int) -> float:
        """Seconds of a run with `nfe` of `total` steps computed."""
        return self.around + nfe * self.computed + (total - nfe) * self.predicted


@dataclass(frozen=True)
class Budget:
    """One of the three; the others are None.

    Args:
        nfe: Steps to compute.
        speedup: Steps of the run over computed steps.
        seconds: Time of one sample on this machine.

    Raises:
        ConfigError: None or several are given, or the one is not a positive number.
    """

    nfe: int | None = None
    speedup: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = {"--nfe": self.nfe, "--speedup": self.speedup, "--seconds": self.seconds}
        present = {name: value for name, value in given.items() if value is not None}
        if len(present) != 1:
            found = "none is given" if not present else f"{' and '.join(present)} are given"
            raise ConfigError(f"budget: {found}. {_ONE_OF}")
        ((name, value),) = present.items()
        if not math.isfinite(value) or value <= 0:
            raise ConfigError(f"{name} {value}: must be a positive number.")

    def steps(self, total: int, cost: Callable[[], StepCost]) -> int:
        """The number of steps to compute.

        Args:
            total: Steps of the run.
            cost: Measures this machine; called for a budget in seconds alone.

        Raises:
            ConfigError: It is less than one step, or leaves no step to predict.
        """
        if self.nfe is not None:
            return _checked(self.nfe, total, f"--nfe {self.nfe}", f"1 to {total - 1}")
        if self.speedup is not None:
            if self.speedup > total:
                raise ConfigError(
                    f"--speedup {self.speedup:g}: of {total} steps less than one would be computed. "
                    f"Valid: above 1, up to {total}."
                )
            found = steps_at(self.speedup, total)
            return _checked(found, total, f"--speedup {self.speedup:g}", f"above 1, up to {total}")
        assert self.seconds is not None
        return self._of_seconds(self.seconds, total, cost())

    def _of_seconds(self, seconds: float, total: int, cost: StepCost) -> int:
        least, most = cost.run(1, total), cost.run(total, total)
        saved = cost.computed - cost.predicted
        if saved <= 0:
            raise ConfigError(
                f"--seconds {seconds:g}: a predicted step takes as long as a computed one here, so nothing can be "
                "saved. Is the machine busy? Try again, or give --nfe."
            )
        found = math.floor((seconds - cost.around - total * cost.predicted) / saved)
        return _checked(
            found, total, f"--seconds {seconds:g}",
            f"from {least:.2g} s, with one of {total} steps computed, to below {most:.2g} s, with all of them",
        )  # fmt: skip


def _checked(nfe: int, total: int, given: str, valid: str) -> int:
    if nfe < 1:
        raise ConfigError(f"{given}: less than one step could be computed. Valid: {valid}.")
    if nfe >= total:
        raise ConfigError(f"{given}: of {total} steps {nfe} would be computed, so none is predicted. Valid: {valid}.")
    return nfe
