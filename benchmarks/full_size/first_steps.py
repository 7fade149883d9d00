"""Counts work over the first steps of a run: all steps of a kind are alike, and whole runs take minutes."""

from __future__ import annotations

from benchmarks.full_size.sampler import Denoiser
from lesa_framework import Reason
from lesa_framework.api import Pipeline
from lesa_framework.interfaces.peer import Peer
from lesa_framework.measure.cells import Probe
from lesa_framework.measure.counting import Tally, counting
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.probing import Prober, Reference, Run, counted_work, peer_plans
from lesa_framework.measure.results import Kind
from lesa_framework.runtime.strategy import plan

#: Predicted steps to run: the second one is as all later ones.
_PREDICTED = 2


class FirstSteps(Prober):
    """Warms a method up and counts what it computes, over as few steps as show every kind of step.

    Args:
        denoiser: The model that is probed.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser

    def runs(self, contender: Contender) -> int:  # noqa: ARG002
        """None that is worth showing."""
        return 0

    def uncached(self, pipe: Pipeline, num_steps: int, run: Run) -> tuple[Reference, Probe]:  # noqa: ARG002
        """One step: all are alike."""
        with counting(self._denoiser.transformer) as tally:
            self._denoiser.run(num_steps, stop=1)
        whole = Tally(tally.calls * num_steps)
        probe = Probe(work=num_steps, flops=whole.flops, cache_bytes=0, calls=whole.calls)
        return Reference(whole, (), (), num_steps), probe

    def probe(self, pipe: Pipeline, contender: Contender, peer: Peer | None, run: Run, reference: Reference) -> Probe:
        """A cache's first steps, a peer's whole run, nothing of a plain run."""
        whole = reference.tally
        assert whole is not None
        if contender.kind is Kind.FEWER_STEPS:
            flops = whole.flops * contender.num_steps // reference.num_steps
            return Probe(work=contender.num_steps, flops=flops, cache_bytes=0)
        if contender.strategy is not None:
            return self._cache(contender, reference)
        with contender.attached(pipe, peer), counting(self._denoiser.transformer) as tally:
            run()
        return Probe(work=counted_work(tally, reference), flops=tally.flops, plans=peer_plans(tally, reference))

    def _cache(self, contender: Contender, reference: Reference) -> Probe:
        assert contender.strategy is not None
        denoiser, whole, steps = self._denoiser, reference.tally, contender.num_steps
        assert whole is not None
        planned = [reason is not Reason.PREDICTED for _, reason in plan(contender.strategy, denoiser.grid(steps))]
        predicted = [index for index, computed in enumerate(planned) if not computed][:_PREDICTED]
        stop = predicted[-1] + 1 if predicted else steps
        with contender.attached(denoiser), counting(denoiser.transformer) as tally:
            denoiser.run(steps, stop)
        branches = len(whole.calls) // steps
        each = [tally.calls[start : start + branches] for start in range(0, len(tally.calls), branches)]
        flops = [sum(call.flops for call in calls) for calls in each]
        stack = [sum(call.stack_flops for call in calls) for calls in each]
        last = predicted[-1] if predicted else 0
        return Probe(
            work=sum(stack[0] if computed else stack[last] for computed in planned) / (whole.stack_flops / steps),
            flops=sum(flops[0] if computed else flops[last] for computed in planned),
        )
