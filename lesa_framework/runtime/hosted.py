"""The runs of a program that says itself to which run each call belongs."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from lesa_framework.interfaces.host import HostCall
from lesa_framework.runtime.calls.told import HostTracker
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.requests import Request, Requests


class HostedRequests(Requests):
    """The runs of a host, by what it calls them.

    Args:
        new: Makes the engine of a run.
    """

    def __init__(self, new: Callable[[], Engine]) -> None:
        super().__init__(lambda _, __: (new(), HostTracker()), ())
        self._runs: dict[Hashable, Request] = {}

    def current(self, told: HostCall | None = None) -> Request:
        """The request of the run that the host named."""
        assert told is not None  # the attachment asked the host
        request = self._runs.get(told.run)
        if request is None:
            self._announce()
            request = self._runs[told.run] = self._made(Request(*self._new(None, False)))
        self._thread.last = self._newest = request.engine
        return request

    def end_run(self, run: Hashable) -> None:
        """End a run, if it is open: its histories are freed, its report stays until another run begins."""
        with self.lock:
            request = self._runs.pop(run, None)
            if request is not None:
                self._end(request)
            self._announce()
