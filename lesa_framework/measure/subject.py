"""The subject of a measurement: a model with its sampler, how methods run on it, and whether they leave it clean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import MethodType
from typing import Protocol, TypeAlias, TypeVar

from torch import nn

from lesa_framework.errors import LesaError
from lesa_framework.generation import GenerationSettings, StepCallback, generate_batch
from lesa_framework.measure.cells import Cell
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.results import Pair
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.place import Pipeline, transformers_of
from lesa_framework.types import Samples

Result = TypeVar("Result")


class Progress(Protocol):
    """Shows the progress of a measurement."""

    def expect(self, work: float, seconds: float | None = None) -> None:
        """Set the total work of the measurement, and about how long it will take on this machine if that is known."""

    def step(self, method: str, work: float = 1.0) -> None:
        """Count one step of a method, which did so much of the total work."""


#: Opens the progress display of one model, from a title.
OpenProgress: TypeAlias = Callable[[str], AbstractContextManager[Progress]]


class Subject(ABC):
    """A model that methods are attached to, and how it is sampled.

    Attributes:
        pipe: Holds the transformers and the scheduler; bare between runs.
        progress: Is shown every step; nothing is shown if None.
    """

    pipe: Pipeline
    progress: Progress | None = None

    @abstractmethod
    def generate(self, num_steps: int, group: Sequence[Pair], on_step: StepCallback) -> Samples:
        """Make a batch of samples; calls `on_step` after every step with the step's number."""

    def fingerprints(self) -> list[list[object]]:
        """The `fingerprint` of each of the pipeline's transformers."""
        return [fingerprint(getattr(self.pipe, name)) for name in transformers_of(self.pipe)]

    def timed(self, run: Callable[[], Result]) -> tuple[Result, Cell]:
        """Wraps a timed run, which attaches a method, samples and detaches it.

        Returns:
            What the run returned, and what else was read of it: nothing by default.
        """
        return run(), Cell()

    def sample(self, contender: Contender, group: Sequence[Pair], on_step: StepCallback | None = None) -> Samples:
        """Sample a batch with whatever is attached, and count the method's steps."""

        def after_step(index: int) -> None:
            if self.progress is not None:
                self.progress.step(contender.name, contender.share * len(group))
            if on_step is not None:
                on_step(index)

        return self.generate(contender.num_steps, group, after_step)


class PipelineSubject(Subject):
    """A diffusers pipeline, and further arguments of its calls."""

    def __init__(self, pipe: CallablePipeline, settings: GenerationSettings) -> None:
        self.pipe: CallablePipeline = pipe
        self._settings = settings

    def generate(self, num_steps: int, group: Sequence[Pair], on_step: StepCallback) -> Samples:
        """Call the pipeline once."""
        prompts, seeds = [pair.prompt for pair in group], [pair.seed for pair in group]
        return generate_batch(self.pipe, prompts, seeds, self._settings.with_steps(num_steps), on_step)


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
