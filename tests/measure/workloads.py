"""A tiny pipeline's runs, for tests of peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lesa_framework.measure.counting import Workload, workload_of

STEPS = 6


@dataclass
class Sampling:
    """Samples the same each time, and keeps what came out.

    Attributes:
        pipe: The pipeline.
        generate: Runs one.
        latents: The outcome of each call.
    """

    pipe: Any
    generate: Callable[..., Tensor]
    latents: list[Tensor] = field(default_factory=list)

    def __call__(self) -> Tensor:
        self.latents.append(self.generate(self.pipe, num_inference_steps=STEPS))
        return self.latents[-1]

    def workload(self) -> Workload:
        """The workload, its uncached run counted."""
        return workload_of(self.pipe, STEPS, self)
