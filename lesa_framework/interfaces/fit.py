"""Fits: how a predictor's numbers come about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from lesa_framework.interfaces.observer import Observer
from lesa_framework.interfaces.paths import ConfigPath, ModelName
from lesa_framework.interfaces.router import StageRouter
from lesa_framework.interfaces.schedule import SchedulePolicy
from lesa_framework.limits import MAX_PAIRS, MAX_PROMPTS, MAX_STEPS
from lesa_framework.processes import ALONE, World
from lesa_framework.types import AS_MADE, HistoryPlace, Tap

if TYPE_CHECKING:
    from lesa_framework.interfaces.predictor import Predictor


class TrainingConfig(BaseModel):
    """The `training` section: what every fit needs. A predictor's own fit adds its settings in a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: ModelName | None = None
    """Model to train on: a name such as `reference:flux`, a folder or a hub id."""
    prompts: int = Field(64, ge=1, le=MAX_PROMPTS)
    """How many prompts to draw when no file of prompts is given (named models only)."""
    num_steps: int = Field(50, ge=2, le=MAX_STEPS)
    """Steps of the sampler; fixes the sigma grid."""
    batch: int = Field(16, ge=1, le=MAX_PAIRS)
    """Prompts a rollout."""
    seed: int = Field(0, ge=0, le=2**31)
    """Seed of weights, prompts and noise."""
    call: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the pipeline, such as height, width, guidance and the negative prompt. Sampling uses them, too."""
    prompts_file: ConfigPath | None = None
    """A file with a prompt on each line, where no other is given."""


@dataclass(frozen=True)
class Batch:
    """Prompts that are sampled together, each with a seed of its own.

    Attributes:
        prompts: The prompts.
        seeds: As many.
        share: How much of a batch that several processes share this is. 0 for a sample that only keeps a process busy
            while the others have the whole batch: what comes of it does not count.

    Raises:
        ValueError: There are not as many seeds as prompts.
    """

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    share: float = 1.0

    def __post_init__(self) -> None:
        if len(self.prompts) != len(self.seeds):
            raise ValueError(f"{len(self.prompts)} prompts but {len(self.seeds)} seeds")

    def part(self, world: World) -> Batch:
        """This process's part. A batch of fewer prompts than processes leaves some its first one, with the share 0.

        Args:
            world: The processes that share it.
        """
        count = len(self.prompts)
        mine = world.share(count)
        share = (mine.stop - mine.start) / count
        mine = mine if share else slice(0, 1)
        return replace(self, prompts=self.prompts[mine], seeds=self.seeds[mine], share=self.share * share)


@dataclass(frozen=True)
class Progress:
    """The progress of a fit after one of its parts.

    Attributes:
        stage: What it was part of, in a word or two.
        done: Parts done in the whole fit.
        total: Parts of the whole fit.
        epoch: Passes over the prompts finished in this stage.
        loss: Of this part, when it had one.
        drift_db: PSNR-like distance of the final latents from the uncached run's, when it was measured.
        held_out: Whether that is of the prompts that the fit holds out, and not of this part's.
        save: Whether the state is worth saving now; an interrupted fit resumes from there.
    """

    stage: str
    done: int
    total: int
    epoch: int = 0
    loss: float | None = None
    drift_db: float | None = None
    save: bool = False
    held_out: bool = False


@dataclass(frozen=True)
class FitSize:
    """About what a fit will do and write: what `lesa train` says before it begins.

    Attributes:
        parts: Parts of the whole fit, as in [`Progress`][lesa_framework.Progress].
        weights: Bytes of what `tensors` returns.
        state: Bytes of what `state_dict` returns, once something is in it; 0 where nothing is saved.
        kept: Samples of which the latents of all steps are kept in memory.
    """

    parts: int
    weights: int
    state: int = 0
    kept: int = 0


class FitTask(ABC):
    """What the core gives a fit: prompts, the choices that are fixed, and runs of the sampler.

    Attributes:
        settings: The configuration's `training` section, of the predictor's own class.
        sigmas: The sampler's grid, `num_steps + 1` noise levels, the final 0 included.
        schedule: Which steps will be computed.
        router: Noise level to stage.
        tap: Where features are taken.
        batches: Prompts and seeds to fit on; the same in every process.
        history: Where features are kept, and in which dtype, as in a run.
        world: The processes that make the same fit. One that knows of them runs its [`part`][lesa_framework.Batch.part]
            of each batch and adds up what it found with that of the others; one that does not runs all in each process.
    """

    settings: TrainingConfig
    sigmas: tuple[float, ...]
    schedule: SchedulePolicy
    router: StageRouter
    tap: Tap
    batches: tuple[Batch, ...]
    history: HistoryPlace = AS_MADE
    world: World = ALONE

    @abstractmethod
    def uncached(self, batch: Batch, *observers: Observer) -> list[Tensor]:
        """Run the bare model, without gradients.

        Args:
            batch: What to sample.
            observers: Watch the run, which takes features at the task's tap.

        Returns:
            T + 1 latents, from the initial noise to the result; batch first. The first T are the model's inputs. The
            result has their shape, unless the model is given more than the sample, such as a picture to edit.
        """

    @abstractmethod
    def rollout(
        self,
        batch: Batch,
        predictor: Predictor,
        *,
        gradients: bool = False,
        through_model: bool = False,
        checkpointing: bool = False,
        observers: Sequence[Observer] = (),
    ) -> list[Tensor]:
        """Run the schedule in closed loop: histories hold predictions, and computed steps see the drifted latent.

        Args:
            batch: What to sample.
            predictor: Predicts; its predictions may carry gradients.
            gradients: Keep the graph from predictions to every latent.
            through_model: Keep it through computed steps too: exact, and as costly as training the model.
            checkpointing: Compute the blocks' activations once more when gradients need them, instead of keeping them:
                for a third more time, little of the memory. Models that cannot do this keep them.
            observers: Watch the run.

        Returns:
            T + 1 latents, as above.
        """


class Fit(ABC):
    """One fit of a predictor: gradient training or least squares.

    `lesa train` makes it with [`PredictorConfig.fit`][lesa_framework.PredictorConfig], runs it, saves its state
    when it says so, and writes what `tensors` and `settings` return as the artifact that the predictor reads.

    Attributes:
        predictor: What is being fitted. Its `depth`, `records` and `min_history` decide what is predicted.
        log: Entries for the log file, each of JSON values.
    """

    predictor: Predictor
    log: Sequence[Mapping[str, Any]] = ()

    @property
    def drift_db(self) -> float | None:
        """Closed-loop distance of the fitted predictor from the uncached run, in dB; None when not measured."""
        return None

    @abstractmethod
    def run(self) -> Iterator[Progress]:
        """Do what remains of the fit, and yield after every part of it."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What the artifact holds."""

    def size(self, branches: int) -> FitSize | None:  # noqa: ARG002 - for those that know it
        """About what the fit will do and write, asked before it runs; None, the default, where it cannot tell.

        Args:
            branches: Of the model's calls in a step, such as with and without a prompt.
        """
        return None

    def settings(self) -> dict[str, Any]:
        """Shape of the predictor, as JSON values, for the artifact's metadata."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fit needs: nested dicts and lists of tensors and JSON values. Nothing by default."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - most fits have nothing to resume
        """Resume from a state; by default there is nothing to take, and the fit starts again."""
