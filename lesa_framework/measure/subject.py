"""The subject of a measurement: a model with its sampler, how methods run on it, and whether they leave it clean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import MethodType
from typing import Protocol, TypeAlias, TypeVar

from torch import nn

from lesa_framework.api import Pipeline
from lesa_framework.errors import LesaError
from lesa_framework.generation import GenerationSettings, StepCallback, generate_batch
from lesa_framework.interfaces.peer import Peer
from lesa_framework.measure.cells import Cell
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.probing import Run
from lesa_framework.measure.results import Pair
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.types import RunReport, Samples

Result = TypeVar("Result")


class Progress(Protocol):
    """Shows the progress of a measurement."""

    def expect(self, steps: int) -> None:
        """Set the total number of sampler steps of the measurement."""

    def step(self, method: str) -> None:
        """Count one step of a method."""


#: Opens the progress display of one model, from a title.
OpenProgress: TypeAlias = Callable[[str], AbstractContextManager[Progress]]


class Subject(ABC):
    """A model that methods are attached to, and how it is sampled.

    Attributes:
        pipe: Holds the transformer and the scheduler; bare between runs.
    """

    pipe: Pipeline

    @abstractmethod
    def sample(self, num_steps: int, group: Sequence[Pair], on_step: StepCallback) -> Samples:
        """Sample a batch, with whatever is attached.

        Args:
            num_steps: Steps of the sampler.
            group: Prompts and seeds.
            on_step: Called after every step with the step's number.
        """

    def timed(self, run: Callable[[], Result]) -> tuple[Result, Cell]:
        """Wraps a timed run, which attaches a method, samples and detaches it.

        Returns:
            What the run returned, and what else was read of it: nothing by default.
        """
        return run(), Cell()


class PipelineSubject(Subject):
    """A diffusers pipeline.

    Args:
        pipe: The pipeline, bare.
        settings: Further arguments of its calls.
    """

    def __init__(self, pipe: CallablePipeline, settings: GenerationSettings) -> None:
        self.pipe: CallablePipeline = pipe
        self._settings = settings

    def sample(self, num_steps: int, group: Sequence[Pair], on_step: StepCallback) -> Samples:
        """Call the pipeline once."""
        prompts, seeds = [pair.prompt for pair in group], [pair.seed for pair in group]
        return generate_batch(self.pipe, prompts, seeds, self._settings.with_steps(num_steps), on_step)


class Sampling:
    """Runs methods on a subject, timed or not, and counts the steps.

    Args:
        subject: The model, bare.
        first: The batch on which methods are probed.

    Attributes:
        progress: Is shown every step.
    """

    def __init__(self, subject: Subject, first: Sequence[Pair]) -> None:
        self.pipe = subject.pipe
        self._subject, self._first = subject, first
        self._clean: list[object] = []
        self.progress: Progress | None = None

    def sample(
        self, contender: Contender, group: Sequence[Pair] | None = None, on_step: StepCallback | None = None
    ) -> Samples:
        """Sample a batch, by default the first, with whatever is attached."""

        def after_step(index: int) -> None:
            if self.progress is not None:
                self.progress.step(contender.name)
            if on_step is not None:
                on_step(index)

        return self._subject.sample(contender.num_steps, self._first if group is None else group, after_step)

    def run_of(self, contender: Contender) -> Run:
        """Samples the first batch whenever it is called."""
        return lambda on_step=None, pairs=None: self.sample(contender, self._first[:pairs], on_step)

    def timed(
        self, contender: Contender, group: Sequence[Pair], peer: Peer | None
    ) -> tuple[Samples, RunReport | None, Cell]:
        """Attach a method, sample a batch and detach it again.

        Returns:
            The samples with their time, a cache's report, and what else the subject read.
        """

        def run() -> tuple[Samples, RunReport | None]:
            with contender.attached(self.pipe, peer) as session:
                samples = self.sample(contender, group)
                return samples, None if session is None else session.report

        (samples, report), read = self._subject.timed(run)
        return samples, report, read

    def remember_model(self) -> None:
        """Remember the model as it is now, as the state to compare with."""
        self._clean = fingerprint(self.pipe.transformer)

    def check_model(self, contender: Contender) -> None:
        """Verify that a detached method left the model as it was.

        Raises:
            ChangedModelError: It did not.
        """
        if fingerprint(self.pipe.transformer) != self._clean:
            raise ChangedModelError(
                f"{contender.name} was detached and left the model changed, so nothing measured after it would be "
                "valid. Exclude it and start again."
            )


class ChangedModelError(LesaError):
    """A method left the model changed, so no measurement after it would be valid."""


def fingerprint(model: nn.Module) -> list[object]:
    """What a cache might change and fail to restore: modules, their classes, their forwards and their hooks.

    Two fingerprints of one model are equal if nothing of this changed.
    """
    return [
        (name, type(module), _own_forward(module), len(module._forward_hooks) + len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    ]


def _own_forward(module: nn.Module) -> bool:
    bound = MethodType(type(module).forward, module)
    return bool(module.__dict__.get("forward", bound) == bound)
