"""Observers: watch runs, and change nothing."""

from __future__ import annotations

from torch import Tensor

from lesa_framework.report import RunReport
from lesa_framework.types import RunInfo, StepRecord


class Observer:
    """Watches the runs of a session. This base does nothing: define the methods that you need.

    Tensors are read-only and valid during the call alone, because a history reuses its memory. Clone what you keep.
    A plugin watches, with hooks of the same names, every session of the process that is attached while it is there.

    Steps of concurrent requests come in turns, one at a time, each in its request's thread.

    Example:
        Print each step as it ends::

            class Printer(Observer):
                def lesa_step_end(self, record, latent, feature):
                    print(record.branch, record.index, record.decision)
    """

    def lesa_run_start(self, run: RunInfo) -> None:
        """A run begins."""

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:
        """One branch has finished one step.

        Args:
            record: What the step did.
            latent: The model's input at this step.
            feature: The feature that was used, (batch, tokens, channels).
        """

    def lesa_run_end(self, report: RunReport) -> None:
        """A run has ended: the next one begins, the session's report is read, or the session is detached.

        With `misfit`, as in servers, also: the pipeline's call has ended. If another request is in the model then, this
        is called before that one's next step. What fails then is printed and goes no further, also when the session is
        detached.
        """
