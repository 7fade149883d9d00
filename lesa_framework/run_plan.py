"""What a run will do, and what it will keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from lesa_framework.branch_names import split_name
from lesa_framework.report import besides
from lesa_framework.types import Choice, HistoryPlace


@dataclass(frozen=True)
class FeatureSize:
    """The features of a branch.

    Attributes:
        shape: Shape of one.
        dtype: The dtype in which the model makes them.
        kept: How many the history has places for when the run ends.
        nbytes: Bytes of all that are kept, in the dtype in which they are.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    kept: int
    nbytes: int


@dataclass(frozen=True)
class RunPlan:
    """What a run will do, and what it will keep, before anything runs.

    Attributes:
        sigmas: The grid, the final 0 included.
        nfe: Steps that will be computed; None when that depends on data.
        plans: Branch -> one letter a step: F computed, P predicted, ? depends on data.
        features: Branch -> what its history holds.
        latent_bytes: Bytes of latents that are kept, for schedules and predictors that read them.
        place: Where the histories are, and in which dtype.
        choice: The cache that would be chosen; None where a configuration was given.
        working_bytes: About the most that a call holds at once besides weights and histories: activations, latents
            and what the decoder works on. What kernels allocate for themselves is not known.
        latent_shape: Shape of the latents of a call.
        sample_shape: Shape of what the decoder returns for them; None where the pipeline has none that can be asked.
    """

    sigmas: tuple[float, ...]
    nfe: int | None
    plans: Mapping[str, str]
    features: Mapping[str, FeatureSize]
    latent_bytes: int
    place: HistoryPlace
    choice: Choice | None = None
    working_bytes: int = 0
    latent_shape: tuple[int, ...] = ()
    sample_shape: tuple[int, ...] | None = None

    @property
    def num_steps(self) -> int:
        """Steps of the run."""
        return len(self.sigmas) - 1

    @property
    def letters(self) -> str:
        """One letter for each step of the grid, of the first branch, whichever transformer has the step."""
        return joined(self.plans, self.num_steps)

    @property
    def has_turns(self) -> bool:
        """Whether transformers take turns, so that the plan of each is that of its own steps alone."""
        return self.letters != next(iter(self.plans.values()))

    @property
    def lines(self) -> dict[str, str]:
        """Branch -> its plan below those of the others: `.` where the other transformer has the step, as in reports."""
        if not self.has_turns:
            return dict(self.plans)
        steps = self.num_steps
        return {
            branch: line.rjust(steps, ".") if split_name(branch)[1] else line.ljust(steps, ".")
            for branch, line in self.plans.items()
        }

    @property
    def cache_bytes(self) -> int:
        """Bytes of all histories and latents together, as the report of a run gives them."""
        return self.latent_bytes + sum(each.nbytes for each in self.features.values())

    def __str__(self) -> str:
        """A few lines for people."""
        nfe, steps = self.nfe, self.num_steps
        computed = "what is computed depends on data" if nfe is None else f"{nfe} computed ({steps / nfe:.2f}x)"
        # More than the choice can foresee: a second transformer begins with an empty history.
        chosen, width = self.choice if self.has_turns else None, 1 + max(map(len, self.plans))
        more = nfe - chosen.nfe if nfe is not None and chosen is not None else 0
        return "\n".join(
            [
                f"{steps} steps, {computed}, {self.memory}",
                *(f"  {branch + ':':<{width}} {line}" for branch, line in self.lines.items()),
                *([] if self.choice is None else [f"  chosen: {self.choice}"]),
                *([f"  {besides(more, steps)}"] if more > 0 else []),
            ]
        )

    @property
    def memory(self) -> str:
        """A sentence on what is kept: how much, where, and for which branches."""
        where = "the model's device" if self.place.device is None else str(self.place.device)
        lines = [f"{mebibytes(self.cache_bytes)} of history on {where}"]
        lines += [f"  {branch}: {self._held(each)}" for branch, each in self.features.items()]
        lines += [f"  latents: {mebibytes(self.latent_bytes)}"] if self.latent_bytes else []
        return "\n".join(lines)

    def _held(self, each: FeatureSize) -> str:
        dtype = self.place.dtype or each.dtype
        shape, name = "x".join(map(str, each.shape)), str(dtype).removeprefix("torch.")
        return f"{each.kept} features of {shape} in {name}, {mebibytes(each.nbytes)}"


def joined(plans: Mapping[str, str], num_steps: int) -> str:
    """The first branch's letters for all steps; where transformers take turns, each has a plan of its own steps alone.

    Args:
        plans: Branch -> one letter for each of its steps; those of a second transformer are named after the first's.
        num_steps: Steps of the run.
    """
    first, letters = next(iter(plans.items()), ("", ""))
    if len(letters) >= num_steps:  # others may be called beside it at every step
        return letters
    others = (line for branch, line in plans.items() if branch != first and split_name(branch)[0] == first)
    return letters + "".join(others)


def mebibytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 2**20:,.2f} MiB"
