"""The subject of a measurement: a model with its sampler, and how it makes samples from prompts and seeds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lesa_framework.api import Pipeline
from lesa_framework.generation import GenerationSettings, StepCallback, generate_batch
from lesa_framework.measure.cells import Readings
from lesa_framework.measure.results import Pair
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.types import Samples


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

    @contextmanager
    def timed(self) -> Iterator[Readings]:
        """Wraps a timed run from before the method is attached until it is detached.

        Yields:
            What else was read; complete when the context is left. Nothing by default.
        """
        yield Readings()


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
