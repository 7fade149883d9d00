"""Counts work over the first steps of a run: all steps of a kind are alike, and whole runs take minutes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from benchmarks.full_size.sampler import Denoiser
from lesa_framework import AffinePredictor, Reason, StepContext
from lesa_framework.measure.cells import Cell, Entry
from lesa_framework.measure.counting import counting, total
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.probing import Outputs, Prober, Reference, counted_work, with_steps
from lesa_framework.measure.results import Kind, Pair
from lesa_framework.measure.subject import Subject
from lesa_framework.runtime.strategy import Strategy, plan

#: Predicted steps of a kind to run: the second one is as all later ones of its kind.
_PREDICTED = 2


class FirstSteps(Prober):
    """Warms a method up and counts what it computes, over as few steps as show every kind of step.

    Args:
        denoiser: The model that is probed.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser

    def samples(self, contender: Contender, batch: int) -> int:  # noqa: ARG002
        """None that is worth showing."""
        return 0

    def uncached(self, subject: Subject, contender: Contender, group: Sequence[Pair]) -> tuple[Cell, Outputs]:  # noqa: ARG002
        """One step: all are alike."""
        num_steps = contender.num_steps
        with counting(self._denoiser.transformer) as calls:
            self._denoiser.run(num_steps, stop=1)
        whole = calls * num_steps
        return Cell(work=num_steps, flops=total(whole).flops, cache_bytes=0, calls=whole), Outputs()

    def probe(self, subject: Subject, entry: Entry, group: Sequence[Pair], reference: Reference) -> Cell:
        """A cache's first steps, a peer's whole run, nothing of a plain run."""
        contender = entry.contender
        assert reference.calls is not None
        if contender.kind is Kind.FEWER_STEPS:
            flops = total(reference.calls).flops * contender.num_steps // reference.num_steps
            return Cell(work=contender.num_steps, flops=flops, cache_bytes=0)
        if contender.strategy is not None:
            return self._cache(contender, reference)
        with entry.attached(subject.pipe), counting(self._denoiser.transformer) as calls:
            subject.sample(contender, group)
        found = Cell(work=counted_work(calls, reference), flops=total(calls).flops)
        return with_steps(found, calls, reference)

    def _cache(self, contender: Contender, reference: Reference) -> Cell:
        assert contender.strategy is not None
        denoiser, whole, steps = self._denoiser, reference.calls, contender.num_steps
        assert whole is not None
        expected = plan(contender.strategy, denoiser.grid(steps))
        planned = [reason is not Reason.PREDICTED for _, reason in expected]
        stop = _enough(contender.strategy, expected)
        with contender.attached(denoiser), counting(denoiser.transformer) as calls:
            denoiser.run(steps, stop)
        branches = len(whole) // steps
        each = [total(calls[start : start + branches]) for start in range(0, len(calls), branches)]
        return Cell(  # the last step is a predicted one, if any is
            work=sum(each[0 if computed else -1].stack_flops for computed in planned)
            / (total(whole).stack_flops / steps),
            flops=sum(each[0 if computed else -1].flops for computed in planned),
        )


def _enough(strategy: Strategy, expected: Sequence[tuple[StepContext, Reason]]) -> int:
    """How many steps show every kind of predicted step, twice where it comes twice; all where nothing is predicted.

    Steps are of one kind if they add up as many features. On a GPU the first of a kind compiles a kernel and chooses
    between it and other ways, so none may come for the first time in a timed run: LESA reads more in later stages.
    """
    predictor, kinds = strategy.predictor, defaultdict[int, list[int]](list)
    assert isinstance(predictor, AffinePredictor)
    for ctx, reason in expected:
        if reason is Reason.PREDICTED:
            kinds[sum(weight != 0.0 for weight in predictor.filter(ctx.entries, ctx).weights)].append(ctx.index)
    return max((found[:_PREDICTED][-1] + 1 for found in kinds.values()), default=len(expected))
