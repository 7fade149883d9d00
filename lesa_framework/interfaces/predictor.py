"""Predictors: history -> next feature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from torch import Tensor

from lesa_framework.artifacts.artifact import Artifact
from lesa_framework.errors import ConfigError, PluginContractError, in_one_line, shown
from lesa_framework.interfaces.config import PluginConfig
from lesa_framework.interfaces.fit import Fit, FitTask, TrainingConfig
from lesa_framework.types import EntryInfo, Filter, HistoryView, RunInfo, StepContext, Tap, Tuning

Said = TypeVar("Said", Filter, Tuning)

#: The filter of reuse.
_NEWEST = Filter((1.0,))


class Predictor(ABC):
    """Says what the block stack would have returned.

    A predictor owns no history: the engine keeps one for each branch and passes it in. Predictors that
    are affine in the history, which nearly all are, derive from
    [`AffinePredictor`][lesa_framework.AffinePredictor] instead.

    Attributes:
        depth: How many features a history keeps.
        records: Whether predicted features enter the history too (`all`) or only computed ones.
        num_stages: How many stages the predictor tells apart; None when it ignores the stage.
        trained_for: The run that its weights were made for; None when it fits every run.
        reads_latents: Whether it reads `StepContext.computed_latent`, which is kept only then.
        looks_ahead: Whether `tuning` may ask about a point ahead; the latent that this needs is kept only then.
        channels: How many channels features must have; None for any number. `check_predictor` makes as many. It sees by
            itself what a filter has numbers for.
        carries_over: Whether weights that were made for one grid serve others too: another number of steps, or other
            noise levels. Where no configuration is given, weights are taken for another grid only then.
    """

    depth: int = 1
    records: Literal["all", "computed"] = "computed"
    num_stages: int | None = None
    trained_for: RunInfo | None = None
    reads_latents: bool = False
    looks_ahead: bool = False
    channels: int | None = None
    carries_over: bool = False

    def min_history(self, stage: int) -> int:  # noqa: ARG002 - for those that need it
        """How many features must be held before this stage can predict; the engine computes until then."""
        return 1

    def check(self, run: RunInfo) -> None:  # noqa: B027 - most predictors fit every run
        """Called once when a run begins.

        Raises:
            ArtifactError: The predictor cannot serve this grid, tap or backbone.
        """

    @abstractmethod
    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        """The predicted feature, with the shape, dtype and device of those in `history`."""

    def correct(self, history: HistoryView, ctx: StepContext, feature: Tensor) -> Tensor | None:  # noqa: ARG002
        """The feature to use in place of one that the block stack has just computed; None, the default, to keep it.

        The head gets the corrected feature; at the tap `output`, the sampler does. The history keeps the computed one.

        Args:
            history: The branch's history; its entry 0 is `feature` itself, in whatever dtype features are kept.
            ctx: The step as it was when it began: `ctx.entries` does not have `feature` yet.
            feature: What the block stack computed; not to be written to.
        """
        return None

    def tuning(self, ctx: StepContext) -> Tuning | None:  # noqa: ARG002 - most ask as the sampler asks
        """How to ask the model at a step that is computed; None, the default, to ask as the sampler does.

        Args:
            ctx: The step as it was when it began.
        """
        return None


class AffinePredictor(Predictor):
    """A predictor that returns a few numbers and never touches a tensor.

    The engine applies them in one pass over its ring buffer, `lesa plan` prints them, and a test needs
    no model.

    Example:
        Linear extrapolation over the two newest computed features::

            class Line(AffinePredictor):
                depth = 2

                def min_history(self, stage: int) -> int:
                    return 2

                def filter(self, entries, ctx):
                    newest, before = entries[0].step, entries[1].step
                    slope = (ctx.index - newest) / (newest - before)
                    return Filter((1 + slope, -slope))
    """

    @abstractmethod
    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        """The filter for this step; `entries` are newest first and at least `min_history(stage)` long."""

    def predict(self, history: HistoryView, ctx: StepContext) -> Tensor:
        """Apply [`filter`][lesa_framework.AffinePredictor.filter] to the history."""
        return history.apply(filter_of(self, history.entries, ctx))

    def correction(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter | None:  # noqa: ARG002
        """The filter that corrects a computed step; None, the default, to use the step as it was computed.

        `entries[0]` is the feature just computed; there may be no other.
        """
        return None

    def correct(self, history: HistoryView, ctx: StepContext, feature: Tensor) -> Tensor | None:  # noqa: ARG002
        """Apply [`correction`][lesa_framework.AffinePredictor.correction] to the history."""
        found = correction_of(self, history.entries, ctx)
        return None if found is None else history.apply(found)


def filter_of(predictor: AffinePredictor, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
    """The filter of a predictor at a step that is predicted.

    Raises:
        PluginContractError: It returns something else, or reads an entry that is not there.
    """
    try:
        found: object = predictor.filter(entries, ctx)
    except IndexError as error:
        raise reads_beyond(predictor, "filter", entries, error) from error
    # Asked at every predicted step: `returned`, which says what is wrong, is called only where something is.
    if isinstance(found, Filter) and hasattr(found.weights, "__len__"):
        return found
    return returned(found, Filter, predictor, "filter")


def correction_of(predictor: AffinePredictor, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter | None:
    """The filter of a predictor that corrects a computed step; None to use the step as it was computed.

    Raises:
        PluginContractError: It returns something else, or reads an entry that is not there.
    """
    try:
        found = predictor.correction(entries, ctx)
    except IndexError as error:
        raise reads_beyond(predictor, "correction", entries, error) from error
    return None if found is None else returned(found, Filter, predictor, "correction")


def reads_beyond(
    predictor: Predictor, method: str, entries: Sequence[EntryInfo], error: IndexError
) -> PluginContractError:
    """What to raise where a predictor's method ended in an IndexError, most likely because of a short history."""
    count = len(entries)
    advice = "read what is there" if method == "correction" else "return from min_history how many it needs"
    return PluginContractError(
        f"{type(predictor).__name__}.{method} failed on a history of {count} feature{'s' if count != 1 else ''} "
        f"({in_one_line(error)}). If it reads one that is not there, {advice}."
    )


def returned(found: object, kind: type[Said], predictor: Predictor, method: str) -> Said:
    """What a predictor's method returned, if it is a filter with weights, or a tuning, as it should be.

    Raises:
        PluginContractError: It is something else.
    """
    if not isinstance(found, kind):
        wrong = f", not a {kind.__name__}{'' if method == 'filter' else ' or None'}."
    elif not hasattr(getattr(found, "weights", ()), "__len__"):  # a tuning has none
        wrong = ". Weights are one number for each entry, as in Filter((1.0,))."
    else:
        return found
    raise PluginContractError(f"{type(predictor).__name__}.{method} returned {shown(found)}{wrong}")


class Reuse(AffinePredictor):
    """Naive reuse: the newest feature of the history, `h_hat_i = h_{i_0}`."""

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:  # noqa: ARG002 - it depends on neither
        """One weight of 1."""
        return _NEWEST


class PredictorConfig(PluginConfig, ABC):
    """Configuration of a predictor; registering this class registers the predictor.

    A predictor whose numbers are fitted to a model names the class of its `training` section as `training_config`
    and returns its fit from `fit`.

    Attributes:
        training_config: The class of its `training` section.
        preferred_tap: Where `lesa search` takes features when no tap is given and the model has this one; None for the
            default of `backbone.tap`.
        fit_needs: Top-level modules that its fit imports, and that may not be installed. `lesa train` and `lesa search`
            ask for them before a model is loaded.
    """

    training_config: ClassVar[type[TrainingConfig]] = TrainingConfig
    preferred_tap: ClassVar[Tap | None] = None
    fit_needs: ClassVar[tuple[str, ...]] = ()

    @property
    def weights_file(self) -> Path | None:
        """The file that the setting `weights` names; None where there is no such setting, or it names no file."""
        named = getattr(self, "weights", None)
        return Path(named) if isinstance(named, str | Path) else None

    @abstractmethod
    def build(self) -> Predictor:
        """Make the predictor; reads weights files, so it may raise `ArtifactError`."""

    def build_from(self, artifact: Artifact) -> Predictor:  # noqa: ARG002 - for those that have weights
        """Make the predictor of weights that are read already, such as those that another predictor's file holds.

        Args:
            artifact: What its own weights file would hold.

        Raises:
            ConfigError: It reads no weights, which is the default.
            ArtifactError: They cannot be used.
        """
        raise ConfigError(f"predictor.kind: '{self.kind}' cannot be made of weights that another file holds.")

    @classmethod
    def has_fit(cls) -> bool:
        """Whether there is anything to fit."""
        return cls.fit is not PredictorConfig.fit

    def fit(self, task: FitTask) -> Fit:  # noqa: ARG002 - for those that are fitted
        """Make a fit of an unfitted predictor.

        Args:
            task: What it is fitted to, and runs of the sampler.

        Raises:
            ConfigError: There is nothing to fit, which is the default.
        """
        raise ConfigError(f"predictor.kind: '{self.kind}' has nothing to fit; use it as it is.")

    def quick(self, settings: TrainingConfig) -> TrainingConfig | None:  # noqa: ARG002 - for those that have a cheap fit
        """Settings of a fit that costs little more than a rollout of each batch, for `lesa search` to try candidates.

        After such a fit has run, its [`Fit.predictor`][lesa_framework.Fit] predicts with what was fitted. The fit's
        `task.uncached(batch)` costs nothing there as long as no observer is passed: the latents were recorded.

        Args:
            settings: The `training` section, of the predictor's own class.

        Returns:
            The settings of the cheap fit; None, the default, where there is none: `lesa search` then tries candidates
            with another predictor, and fits this one to the steps it found.
        """
        return None
