"""TeaCache (arXiv 2411.19108): compute when the changes of the input since the newest computed step add up."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Annotated, Literal

from pydantic import Field

from lesa_framework import ConfigError, Imported, Published, StepContext
from lesa_rivals.gates import CalibratedGateConfig, Gate, relative_changes
from lesa_rivals.numbers import read_list

#: The authors' polynomials are of degree 4.
_COEFFICIENTS = 5
#: Into how many parts the changes from 0 to 1 are cut to look for a polynomial's lowest value.
_PLACES = 1000


class TeaCache(Gate):
    """`sum_n p(|x_n - x_{n-1}| / |x_{n-1}|)` over the steps since the newest computed one, with a polynomial `p`.

    The authors take the change of the first block's modulated input, which a schedule does not see. Here `x` is the
    latent, so their polynomials and thresholds do not carry over as they are.

    Args:
        threshold: A step is computed when the sum reaches it.
        coefficients: Of `p`, the highest power first.
        warmup: How many first steps are computed.
        max_predicted: The most steps that are predicted in a row.
    """

    dynamic = True
    reads_path = True

    def __init__(
        self,
        threshold: float = 0.1,
        coefficients: Sequence[float] = (1.0, 0.0),
        warmup: int = 1,
        max_predicted: int = 6,
    ) -> None:
        super().__init__(threshold, warmup, max_predicted)
        self._coefficients = tuple(coefficients)

    def error(self, ctx: StepContext, newest: int) -> float:
        """The sum up to this step."""
        if ctx.latent is None or not all(step in ctx.path for step in range(newest, ctx.index)):
            return float("nan")
        latents = [ctx.path[step] for step in range(newest, ctx.index)]
        return fsum(_value(self._coefficients, change) for change in relative_changes([*latents, ctx.latent]))


class TeaCacheConfig(CalibratedGateConfig):
    """Compute when the relative changes of the latent add up to a threshold."""

    kind: Literal["teacache"] = "teacache"
    threshold: float = Field(0.1, gt=0, allow_inf_nan=False)
    """A step is computed when the changes since the newest computed step add up to this."""
    coefficients: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(
        (1.0, 0.0), min_length=1, max_length=9
    )
    """Of the polynomial that rescales each change, the highest power first; (1, 0) leaves changes as they are."""

    warmup: int = Field(1, ge=1)
    """How many first steps are computed."""

    def build(self) -> TeaCache:
        """Make the schedule."""
        return TeaCache(self.threshold, self.coefficients, self.warmup, self.max_predicted)

    @classmethod
    def read_published(cls, published: Published) -> Imported:
        """Read the polynomial's five coefficients, the highest power first."""
        coefficients = read_list(published, "coefficients")
        if len(coefficients) != _COEFFICIENTS:
            raise ConfigError(
                f"{published.name}: expected {_COEFFICIENTS} coefficients, the highest power first; found "
                f"{len(coefficients)}."
            )
        return cls.imported(published, "coefficients", coefficients, cls._note(coefficients))

    @classmethod
    def _note(cls, coefficients: Sequence[float]) -> str:
        """What the threshold is for, and whether it is of any use with this polynomial."""
        threshold = cls.model_fields["threshold"].default
        lowest = min(_value(coefficients, change / _PLACES) for change in range(_PLACES + 1))
        useless = (
            f" From 0 to 1 this polynomial is never below about {lowest:.3g}: with that threshold every step is "
            "computed."
            if lowest >= threshold
            else ""
        )
        return (
            f"schedule.threshold stays {threshold}, which is ours for changes that nothing rescales.{useless} Choose "
            "one of your own."
        )


def _value(coefficients: Sequence[float], change: float) -> float:
    value = 0.0
    for coefficient in coefficients:
        value = value * change + coefficient
    return value
