"""The small values that cross the framework's borders. All are frozen; none knows a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from lesa_framework.model_info import ModelInfo


class Decision(StrEnum):
    """What a step does with the block stack."""

    COMPUTE = "compute"
    PREDICT = "predict"


class Tap(StrEnum):
    """Where the feature is taken: before the final norm, after it, or at the model's output."""

    PRE_HEAD = "pre_head"
    POST_NORM = "post_norm"
    OUTPUT = "output"


class Reason(StrEnum):
    """Why a step is computed or predicted."""

    SCHEDULE = "schedule"
    HISTORY = "history too short"
    MISSED = "missed a computed step"  # since its last call the branch was not called at a step of the schedule
    PREDICTED = "predicted"
    SHAPE = "shape changed"
    UNKNOWN_STEP = "unknown step"
    REPEATED_STEP = "repeated step"  # the branch was there, or past it, already
    NON_FINITE = "non-finite prediction"
    NON_FINITE_CORRECTION = "non-finite correction"
    BATCH = "computed with its batch"  # another branch in the same call had to be
    DATA = "depends on data"  # in plans alone: a dynamic schedule decides during the run


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """One feature in a history: which step it belongs to, and whether the block stack made it.

    Attributes:
        step: The step, counted from 0 on the whole grid.
        computed: Whether the block stack made it; if not, it was predicted.
    """

    step: int
    computed: bool


@dataclass(frozen=True, slots=True)
class StepContext:
    """Everything a schedule or a predictor may know when a step begins. Tensors are read-only.

    Attributes:
        index: The step, counted from 0 on the whole grid.
        sigmas: The whole grid, `num_steps + 1` noise levels, the final 0 included.
        branch: Name of the call stream (`cond`, `uncond`, ...).
        branch_index: Its number among its transformer's branches, in order of first appearance in the run. A host's
            second prompt (`cond.2`) or second call in a step (`cond#2`) has that of the first.
        stage: The router's answer for this step's noise level.
        entries: What the branch's history holds, newest first.
        others: What the histories of the other branches hold, by the branch's name; those without features yet, and
            those whose latents or features have another shape, are not there. The branch that is called first
            in a step sees the others as they were after the step before. If a pipeline has two transformers, the
            branches of both are here, those of the second one with its name, such as `cond (transformer_2)`.
        latent: The model's input at this step; None in a plan.
        computed_latent: The model's input at the newest computed step of this branch; None before there is one, in a
            plan, and unless the schedule is `dynamic` or the predictor `reads_latents` or `looks_ahead`.
        path: The model's inputs at earlier steps of this branch, by step: from the computed step before the newest
            one up to the step before this one. Empty in a plan and unless the schedule `reads_path`.
    """

    index: int
    sigmas: tuple[float, ...]
    branch: str = "branch0"
    branch_index: int = 0
    stage: int = 0
    entries: tuple[EntryInfo, ...] = ()
    others: Mapping[str, tuple[EntryInfo, ...]] = field(default_factory=dict, hash=False)
    latent: Tensor | None = field(default=None, compare=False, repr=False)
    computed_latent: Tensor | None = field(default=None, compare=False, repr=False)
    path: Mapping[int, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def num_steps(self) -> int:
        """Steps of the whole grid."""
        return len(self.sigmas) - 1

    @property
    def sigma(self) -> float:
        """Noise level of this step, in [0, 1]."""
        return self.sigmas[self.index]


#: One number for each entry of a history, or a tensor (entries, channels).
Weights: TypeAlias = tuple[float, ...] | Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """An affine filter over histories: `sum_k weights[k] * h_k + bias`, `h_0` being the newest feature.

    Weights are one number for each entry, which is the fast way, or a tensor (entries, channels): one number for each
    entry and channel. Missing trailing entries count as 0. A feature's channels are its last axis. Where they are
    another one, as at the tap `output` of models that return (batch, channels, height, width), give
    (entries, channels, 1, 1): `weights[k]` broadcasts over the feature.

    Attributes:
        weights: For the branch's own history.
        bias: Added to every element; a number, or a tensor that broadcasts over the feature, such as (channels,).
        others: For the histories of other branches, by `StepContext.others`' names. Their features have its shape.
    """

    weights: Weights
    bias: float | Tensor = 0.0
    others: Mapping[str, Weights] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Whether all numbers are the same."""
        return (
            isinstance(other, Filter)
            and _equal(self.weights, other.weights)
            and _equal(self.bias, other.bias)
            and self.others.keys() == other.others.keys()
            and all(_equal(weights, other.others[name]) for name, weights in self.others.items())
        )

    def __hash__(self) -> int:
        """A hash that equal filters share."""
        return hash((len(self.weights), frozenset(self.others)))


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a model is asked at a computed step: as the sampler asks it, but for three numbers.

    A latent that has come through predictions is not quite where the uncached run's would be: it may hold a little more
    or less noise than the noise level says. Remedies for exposure bias do something like it (time-shift sampler, arXiv
    2305.15583; epsilon scaling of the model's output, arXiv 2308.15321). And a prediction between two computed steps
    needs what the model says of a point further on, as in a midpoint rule: it can be asked about one, on the straight
    line of the way so far.

    Attributes:
        shift: Added to the noise level that the model is told, which is in [0, 1]. Where a sampler tells something
            else, as those of EDM do, the model is told what belongs to the new level.
        scale: The model gets the latent times this number. The sampler's latent stays as it is.
        ahead: How far on the model is asked, in parts of the way since the branch's computed step before: both the
            latent and the noise level that it gets move on by so much of their change. Counts only where the
            predictor `looks_ahead`; the first computed step has no way behind it, and stays.
    """

    shift: float | Tensor = 0.0
    scale: float | Tensor = 1.0
    ahead: float | Tensor = 0.0


def _equal(one: Weights | float, other: Weights | float) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and one == other


class HistoryView(Protocol):
    """What a predictor sees of a branch's history."""

    @property
    def entries(self) -> tuple[EntryInfo, ...]:
        """What is held, newest first."""

    @property
    def branches(self) -> Mapping[str, HistoryView]:
        """The histories of all branches of the run by name, this one included."""

    def feature(self, k: int) -> Tensor:
        """The k-th newest feature, (batch, tokens, channels), on the model's device; not to be written to."""

    def apply(self, filter: Filter) -> Tensor:  # noqa: A002 - the field's word
        """Evaluate an affine filter; the result has the features' shape, dtype and device."""


@dataclass(frozen=True, slots=True)
class HistoryPlace:
    """Where histories keep their features, and in which dtype; None is as the model made them."""

    device: torch.device | None = None
    dtype: torch.dtype | None = None


#: On the device and in the dtype in which the model made them.
AS_MADE = HistoryPlace()


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Everything that is fixed during a run.

    Attributes:
        sigmas: The whole grid, `num_steps + 1` noise levels.
        backbone: Kind of the adapter in use, for example `flux`.
        tap: Where features are taken.
        models: The pipeline's transformers; empty when unknown, as in plans.
        latent_shape: Shape of the model's input at the first call, without the batch axis; None when unknown.
        guidance: The guidance that the model was given at the first call, if it takes any.
        begin: The step that it begins with: later than 0 in image-to-image, for example.
    """

    sigmas: tuple[float, ...]
    backbone: str
    tap: Tap
    models: tuple[ModelInfo, ...] = ()
    latent_shape: tuple[int, ...] | None = None
    guidance: float | None = None
    begin: int = 0

    @property
    def steps_to_run(self) -> int:
        """Steps from the one that it begins with to the end of the grid; 0 where the grid is unknown."""
        return max(len(self.sigmas) - 1 - self.begin, 0)


@dataclass(frozen=True, slots=True)
class Choice:
    """The cache that was chosen for a run, where no configuration was given.

    Attributes:
        name: The preset's or the file's name; of a cache without weights, its predictor; empty when every step is
            computed.
        kind: The predictor's kind; empty when every step is computed.
        source: Where it comes from: `preset`, the folder of its weights, `no weights`, or empty.
        reason: Why this one, in a few words.
        nfe: How many steps will be computed. A branch that begins late, such as a second transformer's, or that misses
            a computed step, may need more: the report counts them.
        num_steps: How many steps the run has, from the one that it begins with; 0 when that is unknown.
    """

    name: str
    kind: str
    source: str
    reason: str
    nfe: int
    num_steps: int

    def __str__(self) -> str:
        """One line for people."""
        if not self.kind:
            return f"nothing: {self.reason}"
        kind = "" if self.kind == self.name else f"{self.kind}, "
        return f"{self.name} ({kind}{self.source}), {self.nfe} of {self.num_steps} steps computed: {self.reason}"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one call of one branch did.

    Attributes:
        index: The step; -1 when it is unknown.
        branch: The branch's name.
        stage: The router's answer; -1 when the step is unknown.
        decision: What was done with the block stack.
        reason: Why.
        replaced: How many values were not finite and gave way to the newest computed feature's; 0 until the run ends.
        not_finite: The model computed NaN or infinity; found, when the run ends, where what was made of it has them.
    """

    index: int
    branch: str
    stage: int
    decision: Decision
    reason: Reason
    replaced: int = 0
    not_finite: bool = False


@dataclass(frozen=True)
class Samples:
    """The samples of one call of a pipeline.

    Attributes:
        images: Shape (batch, channels, height, width), or with frames as second axis for videos; float32 in [0, 1]
            on the CPU, never rounded to 8 bits.
        latents: Final latents as the pipeline holds them, float32 on the CPU, first axis batch.
        seconds: Wall time of the call.
        waited: Seconds of it in which the calling thread had no processor; None on devices other than the CPU, where
            waiting is normal.
    """

    images: Tensor
    latents: Tensor
    seconds: float = 0.0
    waited: float | None = None
