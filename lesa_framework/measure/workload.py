"""The run in which the work of peers is counted and matched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lesa_framework.interfaces.peer import HasTransformer
from lesa_framework.measure.counting import Count, Tally, calls_per_step, count, counting


@dataclass(frozen=True)
class Workload:
    """A few samples, made the same way each time.

    Caches that look at the features decide once for a whole batch, so count them with the batch that is timed.

    Attributes:
        num_steps: Steps of the sampler.
        run: Samples once, with whatever is attached to the pipeline.
        uncached: The work of a run with nothing attached.
        known: What was counted already, so that searches for other targets need not run it again.
    """

    num_steps: int
    run: Callable[[], object]
    uncached: Tally
    known: dict[object, Count] = field(default_factory=dict, compare=False, repr=False)

    @property
    def branches(self) -> int:
        """Calls of the transformer per step: 2 where guidance makes its own call."""
        return calls_per_step(self.uncached, self.num_steps)

    @property
    def blocks(self) -> int:
        """Blocks that do arithmetic in an uncached call."""
        return self.uncached.calls[0].blocks

    def counted(self, pipe: HasTransformer) -> Count:
        """Run once and count the work that was done."""
        with counting(pipe.transformer) as tally:
            self.run()
        return count(tally, self.uncached, self.num_steps)


def workload_of(pipe: HasTransformer, num_steps: int, run: Callable[[], object]) -> Workload:
    """Run once with nothing attached; this run is what all others are compared with.

    Args:
        pipe: The pipeline, bare.
        num_steps: Steps of the sampler.
        run: Samples once; the same each time.

    Raises:
        UnsupportedBackboneError: No backbone adapter knows which of the model's modules are its blocks.
        PeerError: Steps do not all call the transformer equally often.
    """
    with counting(pipe.transformer) as uncached:
        run()
    calls_per_step(uncached, num_steps)
    return Workload(num_steps, run, uncached)
