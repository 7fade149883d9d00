"""Measures a method before it is timed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lesa_framework.api import Pipeline, transformers_of
from lesa_framework.errors import PeerError, UnsupportedBackboneError
from lesa_framework.generation import StepCallback
from lesa_framework.interfaces.peer import Peer
from lesa_framework.measure.cache_memory import held_bytes
from lesa_framework.measure.cells import Probe
from lesa_framework.measure.counting import Tally, count, counting
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.memory import peak_memory
from lesa_framework.measure.outputs import Outputs, taking_outputs
from lesa_framework.measure.results import Kind

#: Counts are ratios of whole numbers; one this close to a whole number is that number.
_ROUNDING = 1e-9


class Run(Protocol):
    """Samples the first batch."""

    def __call__(self, on_step: StepCallback | None = None, *, pairs: int | None = None) -> object:
        """Sample the batch, or only its first pairs; the callback is called after every step."""


@dataclass(frozen=True)
class Reference:
    """The uncached run that all others are compared with.

    Attributes:
        tally: Its work, call by call; None where it is not counted.
        outputs: What the transformer returned, call by call.
        steps: After how many calls each step ended.
        num_steps: Steps of the sampler.
    """

    tally: Tally | None
    outputs: Sequence[Tensor]
    steps: Sequence[int]
    num_steps: int


class Prober(ABC):
    """Runs a method before it is timed. Whatever it does not measure comes from the timed runs' reports."""

    @abstractmethod
    def runs(self, contender: Contender) -> int:
        """How many times it runs a method, for the progress bar."""

    @abstractmethod
    def uncached(self, pipe: Pipeline, num_steps: int, run: Run) -> tuple[Reference, Probe]:
        """Run the bare pipeline."""

    @abstractmethod
    def probe(self, pipe: Pipeline, contender: Contender, peer: Peer | None, run: Run, reference: Reference) -> Probe:
        """Run a method.

        Args:
            pipe: The pipeline, bare.
            contender: The method.
            peer: Of peers, the one with all settings chosen.
            run: Samples the first batch.
            reference: The uncached run of the same batch.
        """


class WarmUp(Prober):
    """Runs each cache once on a single pair, so that slow first calls do not count and mistakes show early."""

    def runs(self, contender: Contender) -> int:
        """One run for caches and peers."""
        return int(contender.kind in {Kind.CACHE, Kind.PEER})

    def uncached(self, pipe: Pipeline, num_steps: int, run: Run) -> tuple[Reference, Probe]:  # noqa: ARG002
        """Nothing to do: the model is warm."""
        return Reference(None, (), (), num_steps), Probe(cache_bytes=0)

    def probe(self, pipe: Pipeline, contender: Contender, peer: Peer | None, run: Run, reference: Reference) -> Probe:  # noqa: ARG002
        """Run the method on one pair."""
        if not self.runs(contender):
            return Probe(cache_bytes=0)
        with contender.attached(pipe, peer):
            run(pairs=1)
        return Probe()


class Counted(Prober):
    """Runs each method twice on the first batch: once with work, outputs and memory counted, once to see what it keeps.

    Nothing is read from a configuration or believed of a peer.
    """

    def runs(self, contender: Contender) -> int:
        """Two runs; one for plain runs, which keep nothing."""
        return 2 if contender.kind in {Kind.CACHE, Kind.PEER} else 1

    def uncached(self, pipe: Pipeline, num_steps: int, run: Run) -> tuple[Reference, Probe]:
        """Run the bare pipeline and count everything."""
        outputs = Outputs()
        tally, peak = _counted(pipe, run, outputs)
        flops, calls = (None, []) if tally is None else (tally.flops, tally.calls)
        probe = Probe(work=num_steps, flops=flops, cache_bytes=0, peak_bytes=peak, calls=calls)
        return Reference(tally, outputs.calls, outputs.steps, num_steps), probe

    def probe(self, pipe: Pipeline, contender: Contender, peer: Peer | None, run: Run, reference: Reference) -> Probe:
        """Run a method twice, untimed."""
        outputs = Outputs(reference.outputs)
        with contender.attached(pipe, peer) as session:
            tally, peak = _counted(pipe, run, outputs)
            report = None if session is None else session.report
        kept = 0
        if contender.kind is not Kind.FEWER_STEPS:
            kept = held_bytes(pipe, run, lambda: contender.attached(pipe, peer))
        if report is not None:
            plans = {branch: report.plan(branch) for branch in report.branches}
        else:
            plans = peer_plans(tally, reference) if contender.kind is Kind.PEER else {}
        return Probe(
            work=counted_work(tally, reference),
            flops=None if tally is None else tally.flops,
            cache_bytes=kept,
            peak_bytes=peak,
            plans=plans,
            fallbacks={} if report is None else {reason.value: times for reason, times in report.fallbacks.items()},
            step_rel_l2=outputs.step_rel_l2(reference.steps),
        )


def _counted(pipe: Pipeline, run: Run, outputs: Outputs) -> tuple[Tally | None, int]:
    """Run once; its work, where an adapter knows which modules are blocks, and its peak of memory."""
    models = list(transformers_of(pipe).values())
    device = next(models[0].parameters()).device
    tally = None
    with peak_memory(device) as peak, taking_outputs(pipe, outputs), ExitStack() as stack:
        if len(models) == 1:
            with suppress(UnsupportedBackboneError):
                tally = stack.enter_context(counting(models[0]))
        run(lambda _: outputs.end_step())
    return tally, peak.bytes


def counted_work(tally: Tally | None, reference: Reference) -> int | float | None:
    """Arithmetic inside the blocks over that of one uncached step; None where it is not counted."""
    whole = reference.tally
    if tally is None or whole is None:
        return None
    steps = reference.num_steps * tally.stack_flops / whole.stack_flops
    return round(steps) if abs(steps - round(steps)) < _ROUNDING else steps


def peer_plans(tally: Tally | None, reference: Reference) -> dict[str, str]:
    """The counted work as one letter per step, branch by branch; empty where no steps can be named."""
    whole = reference.tally
    if tally is None or whole is None:
        return {}
    try:
        plans = count(tally, whole, reference.num_steps).plans
    except PeerError:  # it does not make the calls that the bare pipeline makes: there are no steps to name
        return {}
    return {f"branch{number}": plan for number, plan in enumerate(plans)}
