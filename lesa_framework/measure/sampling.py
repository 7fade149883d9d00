"""Runs methods on a subject, timed or not, and detects a method that leaves the model changed."""

from __future__ import annotations

from collections.abc import Sequence

from lesa_framework.generation import StepCallback
from lesa_framework.interfaces.peer import Peer
from lesa_framework.measure.cells import Readings
from lesa_framework.measure.fingerprint import ChangedModelError, fingerprint
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.probing import Run
from lesa_framework.measure.progress import Progress
from lesa_framework.measure.results import Pair
from lesa_framework.measure.subject import Subject
from lesa_framework.types import RunReport, Samples


class Sampling:
    """Samples batches of one model, and counts the steps.

    Args:
        subject: The model, bare.
        first: The batch on which methods are probed.

    Attributes:
        progress: Is shown every step.
    """

    def __init__(self, subject: Subject, first: Sequence[Pair]) -> None:
        self.pipe = subject.pipe
        self._subject, self._first = subject, first
        self._clean: list[object] | None = None
        self.progress: Progress | None = None

    def sample(self, contender: Contender, group: Sequence[Pair], on_step: StepCallback | None = None) -> Samples:
        """Sample a batch with whatever is attached."""

        def after_step(index: int) -> None:
            if self.progress is not None:
                self.progress.step(contender.name)
            if on_step is not None:
                on_step(index)

        return self._subject.sample(contender.num_steps, group, after_step)

    def run_of(self, contender: Contender) -> Run:
        """Samples the first batch whenever it is called."""

        def run(on_step: StepCallback | None = None, *, pairs: int | None = None) -> object:
            return self.sample(contender, self._first[:pairs], on_step)

        return run

    def warm_up(self, contender: Contender, peer: Peer | None) -> None:
        """An untimed run, because a method's first calls are slower than the others."""
        with contender.attached(self.pipe, peer):
            self.sample(contender, self._first)

    def timed(
        self, contender: Contender, group: Sequence[Pair], peer: Peer | None
    ) -> tuple[Samples, RunReport | None, Readings]:
        """Attach a method, sample a batch and detach it again.

        Returns:
            The samples with their time, a cache's report, and what else the subject read.
        """
        with self._subject.timed() as readings, contender.attached(self.pipe, peer) as session:
            samples = self.sample(contender, group)
            report = None if session is None else session.report
        return samples, report, readings

    def remember_model(self) -> None:
        """Remember the model as it is now, as the state to compare with."""
        self._clean = fingerprint(self.pipe.transformer)

    def check_model(self, contender: Contender) -> None:
        """Verify that a detached method left the model as it was.

        Raises:
            ChangedModelError: It did not.
        """
        if self._clean is not None and fingerprint(self.pipe.transformer) != self._clean:
            raise ChangedModelError(
                f"{contender.name} was detached and left the model changed, so nothing measured after it would be "
                "valid. Exclude it and start again."
            )
