"""A predictor that LESA starts from: its filter, over histories that LESA keeps, and its numbers inside LESA's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from lesa_framework import (
    AffinePredictor,
    AnyPredictor,
    ArtifactError,
    ConfigError,
    EntryInfo,
    Filter,
    FitTask,
    Predictor,
    PredictorConfig,
    StepContext,
    Strategy,
    Tuning,
)
from lesa_framework.artifacts import Artifact, ArtifactMetadata, load_artifact
from lesa_kan.experts import ExpertShape

_Weights: TypeAlias = tuple[float, ...] | Tensor

#: What the names of its tensors begin with in LESA's file.
_PREFIX: Final = "base."


@dataclass(frozen=True)
class BaseRecord:
    """What LESA's file says of its base.

    Attributes:
        section: Its settings, without a file of weights.
        depth: How many features LESA's histories keep for it.
        metadata: What its weights were made for; None when it has none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    section: AnyPredictor
    depth: Annotated[int, Field(ge=1, le=10_000)]
    metadata: ArtifactMetadata | None = None


@dataclass(frozen=True)
class LesaRecord(ExpertShape):
    """What LESA's file says of it.

    Attributes:
        records: What its histories hold.
        base: What it starts from.
    """

    records: Literal["all", "computed"] = "all"
    base: BaseRecord | None = None

    @property
    def shape(self) -> ExpertShape:
        """The sizes alone."""
        return ExpertShape(**{field.name: getattr(self, field.name) for field in fields(ExpertShape)})


class Base:
    """An affine predictor, asked with the features that it would see if it were alone.

    Args:
        section: Its settings.
        depth: How many features LESA's histories have to keep for it; None for as many as it keeps itself.
        artifact: Its weights; None when it has none.

    Raises:
        ConfigError: It cannot be built, or is not affine.
        ArtifactError: Its weights cannot be used.
    """

    def __init__(self, section: PredictorConfig, artifact: Artifact | None, depth: int | None = None) -> None:
        try:
            predictor = section.build() if artifact is None else section.build_from(artifact)
        except (ArtifactError, ConfigError) as error:
            raise type(error)(str(error).replace("predictor.", "predictor.base.", 1)) from error
        if not isinstance(predictor, AffinePredictor):
            raise ConfigError(
                f"predictor.base: '{section.kind}' is not affine in the history, so that nothing can be added to its "
                "filter. Give a predictor that is, such as fitted or taylorseer."
            )
        self.section, self.artifact, self.predictor = section, artifact, predictor
        self.depth = predictor.depth if depth is None else depth

    @classmethod
    def start(cls, section: PredictorConfig, task: FitTask, records: Literal["all", "computed"]) -> Base:
        """The base of a training.

        Args:
            section: Its settings, with its file of weights if it has any.
            task: What LESA is trained on.
            records: What LESA's histories hold.

        Raises:
            ConfigError: It reads predictions, and the histories hold none; or as above.
            ArtifactError: As above.
        """
        file = section.weights_file
        base = cls(section, None if file is None else load_artifact(file, section.kind))
        alone = Strategy(task.schedule, task.router, base.predictor)  # refuses a base for other stages
        if base.predictor.records == records:
            return base
        if records == "computed":
            raise ConfigError(
                f"predictor.records: '{section.kind}' reads predictions too, which histories of 'computed' features do "
                "not hold. Set predictor.records to all."
            )
        return cls(base.section, base.artifact, reach(alone, task.sigmas))

    @classmethod
    def restore(cls, record: BaseRecord, tensors: Mapping[str, Tensor]) -> Base:
        """The base that a file of LESA's holds.

        Raises:
            ConfigError: It cannot be built.
            ArtifactError: Its numbers cannot be used.
        """
        if record.metadata is None:
            return cls(record.section, None, record.depth)
        own = {name.removeprefix(_PREFIX): each for name, each in tensors.items() if name.startswith(_PREFIX)}
        if record.metadata.kind != record.section.kind:
            raise ArtifactError(
                f"predictor.weights: made on '{record.section.kind}', but it holds weights of "
                f"'{record.metadata.kind}'. Train again."
            )
        return cls(record.section, Artifact(record.metadata, own), record.depth)

    def tensors(self) -> dict[str, Tensor]:
        """Its weights, under names of their own in LESA's file."""
        return {} if self.artifact is None else {_PREFIX + name: each for name, each in self.artifact.tensors.items()}

    def as_json(self) -> dict[str, Any]:
        """The [`BaseRecord`][lesa_kan.base.BaseRecord] for LESA's file, as JSON values."""
        metadata = None if self.artifact is None else self.artifact.metadata.model_dump(mode="json")
        # A default that is spelt out would be compared with what the weights were made with.
        only_given = self.artifact is not None
        section = self.section.model_dump(mode="json", exclude={"weights"}, exclude_unset=only_given)
        return {"section": {"kind": self.section.kind, **section}, "depth": self.depth, "metadata": metadata}

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """Its filter, over the entries that LESA's history holds."""
        places = self._places(entries)
        seen = self._seen(ctx)
        return self._spread(self.predictor.filter([entries[place] for place in places], seen), places, ctx)

    def correction(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter | None:
        """Its correction of a computed step, over the entries that LESA's history holds."""
        places = self._places(entries)
        found = self.predictor.correction([entries[place] for place in places], self._seen(ctx))
        return None if found is None else self._spread(found, places, ctx)

    def tuning(self, ctx: StepContext) -> Tuning | None:
        """How it asks the model at a computed step."""
        return self.predictor.tuning(self._seen(ctx))

    def _places(self, entries: Sequence[EntryInfo]) -> list[int]:
        """The numbers of the entries that it would hold itself."""
        every = self.predictor.records == "all"
        return [n for n, entry in enumerate(entries) if every or entry.computed][: self.predictor.depth]

    def _seen(self, ctx: StepContext) -> StepContext:
        """The step as it would see it."""
        held = {name: self._held(entries) for name, entries in ctx.others.items()}
        return replace(ctx, entries=self._held(ctx.entries), others=held)

    def _held(self, entries: tuple[EntryInfo, ...]) -> tuple[EntryInfo, ...]:
        return tuple(entries[place] for place in self._places(entries))

    def _spread(self, filter: Filter, places: Sequence[int], ctx: StepContext) -> Filter:  # noqa: A002 - its type's name
        others = {name: _at(weights, self._places(ctx.others[name])) for name, weights in filter.others.items()}
        return Filter(_at(filter.weights, places), filter.bias, others)


class OnBase(Predictor):
    """What LESA takes from the predictor that it starts from, while it is trained and while it samples.

    Args:
        shape: Sizes of the experts.
        base: What they correct; None for reuse of the newest feature.
        records: What histories hold.
    """

    records: Literal["all", "computed"] = "all"

    def __init__(self, shape: ExpertShape, base: Base | None, records: Literal["all", "computed"]) -> None:
        self.shape, self.base, self.records = shape, base, records
        self.depth = shape.depth if base is None else max(shape.depth, base.depth)
        self.num_stages = shape.num_stages
        self.looks_ahead = base is not None and base.predictor.looks_ahead

    def min_history(self, stage: int) -> int:
        """K_0 features, in every stage: this is what computes step 3 of the paper's schedules. On a base, its own."""
        return self.shape.stage_history[0] if self.base is None else self.base.predictor.min_history(stage)

    def tuning(self, ctx: StepContext) -> Tuning | None:
        """That of the base."""
        return None if self.base is None else self.base.tuning(ctx)


def reach(alone: Strategy, sigmas: Sequence[float]) -> int:
    """How many of all features a history must hold, so that a predictor's newest computed ones are always among them.

    Args:
        alone: The predictor with a history of its own, as deep as it asks for.
        sigmas: The grid, the final 0 included.
    """
    steps, depth = range(len(sigmas) - 1), alone.predictor.depth
    if alone.schedule.dynamic:
        return len(steps)
    computed = alone.computed(sigmas)
    oldest = {step: [each for each in computed if each < step][-depth:] for step in steps[1:] if step not in computed}
    return max((step - held[0] for step, held in oldest.items()), default=1)


def added(base: Filter, weights: Sequence[float] | Tensor, bias: float | Tensor) -> Filter:
    """The sum of two filters; the second one reads the branch's own history, and its numbers may carry gradients."""
    longest = max(len(base.weights), len(weights))
    like = next((each for each in (weights, base.weights) if isinstance(each, Tensor)), None)
    if like is None:
        pairs = zip_longest(base.weights, weights, fillvalue=0.0)
        return Filter(tuple(map(sum, pairs)), base.bias + bias, base.others)
    theirs, mine = (torch.as_tensor(each, dtype=like.dtype, device=like.device) for each in (base.weights, weights))
    mine = mine.view(-1, *[1] * (theirs.dim() - 1))
    theirs, mine = (torch.cat([each, each.new_zeros(longest - len(each), *each.shape[1:])]) for each in (theirs, mine))
    return Filter(theirs + mine, base.bias + bias, base.others)


def _at(weights: _Weights, places: Sequence[int]) -> _Weights:
    """Weights at other places; 0 between them."""
    used = list(places[: len(weights)])
    longest = max(used, default=-1) + 1
    if isinstance(weights, Tensor):
        spread = weights.new_zeros(longest, *weights.shape[1:])
        spread[used] = weights
        return spread
    numbers = [0.0] * longest
    for place, weight in zip(used, weights, strict=False):
        numbers[place] = weight
    return tuple(numbers)


def asked_and_found(asked: PredictorConfig | None, found: PredictorConfig | None) -> tuple[Any, Any]:
    """What was asked of a base, and what it has there; its file does not count."""
    if asked is None or found is None:
        return (None if asked is None else asked.kind), (None if found is None else found.kind)
    named, given = asked.model_fields_set - {"weights"} | {"kind"}, found.model_dump(mode="json")
    wanted = {key: value for key, value in asked.model_dump(mode="json").items() if key in named}
    return wanted, {key: given.get(key) for key in wanted}
