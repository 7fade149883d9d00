"""Measures a method before it is timed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lesa_framework.errors import PeerError, UnsupportedBackboneError
from lesa_framework.measure.cells import Cell, Entry
from lesa_framework.measure.counting import Call, count, counting, total
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.meter import held_bytes, peak_memory
from lesa_framework.measure.results import Kind, Pair
from lesa_framework.measure.scoring import check_finite
from lesa_framework.measure.subject import Subject
from lesa_framework.place import Pipeline, transformers_of
from lesa_framework.report import CallReport
from lesa_framework.runtime.model.wrapping import tensors

#: Counts are ratios of whole numbers; one this close to a whole number is that number.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Outputs:
    """What each call of the transformer returned, and after how many calls each step ended.

    Attributes:
        calls: For each call all numbers of its output in one row, float32 on the CPU.
        steps: For each step the number of calls by its end.
    """

    calls: list[Tensor] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Reference:
    """The uncached run that all others are compared with; None and empty where it was not counted or recorded."""

    calls: Sequence[Call] | None
    num_steps: int
    outputs: Outputs = field(default_factory=Outputs)


class Prober(ABC):
    """Runs a method before it is timed. Whatever it does not measure comes from the timed runs' reports."""

    @abstractmethod
    def samples(self, contender: Contender, batch: int) -> int:
        """How many samples it makes with a method, for the progress bar."""

    @abstractmethod
    def uncached(self, subject: Subject, contender: Contender, group: Sequence[Pair]) -> tuple[Cell, Outputs]:
        """Run the bare model on a batch.

        Raises:
            LesaError: Its samples are not finite.
        """

    @abstractmethod
    def probe(self, subject: Subject, entry: Entry, group: Sequence[Pair], reference: Reference) -> Cell:
        """Run a method on the batch of the reference; a peer's settings are chosen by then.

        Raises:
            LesaError: Its samples are not finite.
        """


class WarmUp(Prober):
    """Runs each cache once on a single pair, so that slow first calls do not count and mistakes show early."""

    def samples(self, contender: Contender, batch: int) -> int:  # noqa: ARG002
        """One of caches and peers."""
        return int(contender.kind in {Kind.CACHE, Kind.PEER})

    def uncached(self, subject: Subject, contender: Contender, group: Sequence[Pair]) -> tuple[Cell, Outputs]:  # noqa: ARG002
        """Nothing to do: the model is warm."""
        return Cell(cache_bytes=0), Outputs()

    def probe(self, subject: Subject, entry: Entry, group: Sequence[Pair], reference: Reference) -> Cell:  # noqa: ARG002
        """Run the method on one pair."""
        if not self.samples(entry.contender, len(group)):
            return Cell(cache_bytes=0)
        with entry.attached(subject.pipe):
            subject.sample(entry.contender, group[:1])
        return Cell()


class Counted(Prober):
    """Runs each method twice on a batch: once with work, outputs and memory counted, once to see what it keeps.

    Nothing is read from a configuration or believed of a peer.
    """

    def samples(self, contender: Contender, batch: int) -> int:
        """Two runs; one for plain runs, which keep nothing."""
        return 2 * batch if contender.kind in {Kind.CACHE, Kind.PEER} else batch

    def uncached(self, subject: Subject, contender: Contender, group: Sequence[Pair]) -> tuple[Cell, Outputs]:
        """Run the bare model and count everything."""
        calls, peak, outputs = _counted(subject, contender, group)
        flops = None if calls is None else total(calls).flops
        work = contender.num_steps
        return Cell(work=work, flops=flops, cache_bytes=0, peak_bytes=peak, calls=calls or []), outputs

    def probe(self, subject: Subject, entry: Entry, group: Sequence[Pair], reference: Reference) -> Cell:
        """Run a method twice, untimed."""
        contender, pipe = entry.contender, subject.pipe
        with entry.attached(pipe) as session:
            calls, peak, outputs = _counted(subject, contender, group)
            report = None if session is None else session.report
        kept = 0
        if contender.kind is not Kind.FEWER_STEPS:
            kept = held_bytes(pipe, lambda: subject.sample(contender, group), lambda: entry.attached(pipe))
        found = Cell(
            work=counted_work(calls, reference),
            flops=None if calls is None else total(calls).flops,
            cache_bytes=kept,
            peak_bytes=peak,
            step_rel_l2=step_distances(outputs, reference.outputs),
        )
        if contender.kind is Kind.PEER:
            return with_steps(found, calls, reference)
        return found if report is None else with_report(found, report)


def _counted(subject: Subject, contender: Contender, group: Sequence[Pair]) -> tuple[list[Call] | None, int, Outputs]:
    """Run once; its work, where an adapter knows which modules are blocks, its peak of memory, and its outputs."""
    models = list(transformers_of(subject.pipe).values())
    device, calls = next(models[0].parameters()).device, None
    with peak_memory(device) as meter, taking_outputs(subject.pipe) as outputs, ExitStack() as stack:
        if len(models) == 1:
            with suppress(UnsupportedBackboneError):
                calls = stack.enter_context(counting(models[0], meter))
        samples = subject.sample(contender, group, lambda _: outputs.steps.append(len(outputs.calls)))
    check_finite(samples)  # before hours of searches and rounds, and outside of what is counted
    return calls, meter.most, outputs


def with_report(cell: Cell, report: CallReport) -> Cell:
    """A cell, with what a session reports step by step."""
    plans = {branch: report.plan(branch) for branch in report.branches}
    fallbacks = {reason.value: times for reason, times in report.fallbacks.items()}
    return cell.model_copy(update={"plans": plans, "fallbacks": fallbacks})


def counted_work(calls: Sequence[Call] | None, reference: Reference) -> int | float | None:
    """Arithmetic inside the blocks over that of one uncached step; None where it is not counted."""
    if calls is None or reference.calls is None:
        return None
    steps = reference.num_steps * total(calls).stack_flops / total(reference.calls).stack_flops
    return round(steps) if abs(steps - round(steps)) < _ROUNDING else steps


def with_steps(cell: Cell, calls: Sequence[Call] | None, reference: Reference) -> Cell:
    """A peer's cell, with the counted work step by step; as it was where no steps can be named."""
    if calls is None or reference.calls is None:
        return cell
    try:
        found = count(calls, reference.calls, reference.num_steps)
    except PeerError:  # it does not make the calls that the bare pipeline makes: there are no steps to name
        return cell
    plans = {f"branch{number}": plan for number, plan in enumerate(found.plans)}
    return cell.model_copy(update={"plans": plans, "whole_steps": found.full_steps})


@contextmanager
def taking_outputs(pipe: Pipeline) -> Iterator[Outputs]:
    """Record, inside the context, what every call of the pipeline's transformers returns."""
    outputs = Outputs()

    def take(_module: object, _arguments: object, output: Any) -> None:
        # In numpy's memory, so that what is kept here is not counted as the run's own.
        parts = [each.detach().float().cpu().numpy().ravel() for each in tensors(output)]
        outputs.calls.append(torch.from_numpy(np.concatenate(parts)))

    with ExitStack() as stack:
        for model in transformers_of(pipe).values():
            stack.callback(model.register_forward_hook(take).remove)
        yield outputs


def step_distances(outputs: Outputs, reference: Outputs) -> list[float | None]:
    """Distance from the reference over its norm, each step's calls (branches) taken together.

    Returns:
        A number for each step, None where it is not finite; empty when the runs did not make the same calls.
    """
    if outputs.steps != reference.steps:
        return []
    starts = [0, *reference.steps[:-1]]
    return [
        _distance(outputs.calls[start:end], reference.calls[start:end])
        for start, end in zip(starts, reference.steps, strict=True)
    ]


def _distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float | None:
    pairs = list(zip(ours, theirs, strict=True))
    if any(output.shape != expected.shape for output, expected in pairs):
        return None
    off = sum(float((output - expected).double().square().sum()) for output, expected in pairs)
    whole = sum(float(expected.double().square().sum()) for _, expected in pairs)
    value = math.sqrt(off / whole) if whole > 0 else math.nan
    return value if math.isfinite(value) else None
