"""What `accelerate` returns: a cache in a model, until it is detached."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import TracebackType

from lesa_framework.errors import LesaError, LesaWarning
from lesa_framework.report import CallReport
from lesa_framework.runtime.attach import Attachment
from lesa_framework.runtime.requests import Requests
from lesa_framework.types import Choice


class Session:
    """A configuration attached to a model. A context manager: leaving it detaches for good.

    Made by [`accelerate`][lesa_framework.accelerate].

    Args:
        requests: Who calls the model.
        attachments: One for each transformer.
        exchanged: Names the transformers that the pipeline no longer has; by default none.
    """

    def __init__(self, requests: Requests, *attachments: Attachment, exchanged: Callable[[], str] = str) -> None:
        self._requests, self._attachments, self._exchanged = requests, attachments, exchanged
        self._detached = False
        try:
            for attachment in attachments:
                attachment.attach()
        except BaseException:
            self.detach()
            raise

    @property
    def report(self) -> CallReport:
        """The report of the pipeline's call in progress, or of the last one; of this thread, if it made any."""
        self._check_place()
        return self._requests.report

    @property
    def choice(self) -> Choice | None:
        """What was chosen for the run in progress or the last one, and why.

        None before the first run, because the choice depends on the run's noise levels; and where a configuration was
        given.
        """
        return self.report.choice

    def detach(self) -> None:
        """Leave the model as it was before, bit for bit, and free the histories."""
        self._check_place()
        self._detached = True
        for attachment in self._attachments:
            attachment.detach()
        self._requests.close()

    def _check_place(self) -> None:
        """Warn, once, if the pipeline has another transformer by now: no call of it reaches this session."""
        exchanged = "" if self._detached else self._exchanged()
        if exchanged:
            self._exchanged = str
            warnings.warn(
                f"Session: the pipeline's {exchanged} was exchanged after it was accelerated. No call of the new one "
                "reached this session, and nothing of it was cached. Detach the session, and accelerate again.",
                LesaWarning,
                stacklevel=3,
            )

    def __enter__(self) -> Session:
        if self._detached:  # runs would silently be uncached
            raise LesaError("Session: it was detached, so nothing would be cached. Call accelerate() again.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()
