"""The requests that share a model: each has an engine and a tracker of its own, and is told apart by who calls."""

from __future__ import annotations

import os
import sys
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeAlias

from torch import nn

from lesa_framework.errors import LesaError
from lesa_framework.interfaces.host import HostCall
from lesa_framework.report import CallReport
from lesa_framework.runtime.calls.caller import Caller, CallerFinder, Known, Mark, Rank
from lesa_framework.runtime.calls.tracking import Locator
from lesa_framework.runtime.engine import Engine
from lesa_framework.warning import warn


@dataclass(eq=False)
class Request:
    """One call of a pipeline; where no pipeline is found, all calls of one thread.

    Attributes:
        engine: Decides and predicts; holds the histories.
        tracker: Tells runs, steps and branches apart.
        known: The pipeline that calls, if it was found, and how.
        mark: Tells when its call ends.
    """

    engine: Engine
    tracker: Locator
    known: Known | None = None
    mark: weakref.ref[Mark] | None = None

    def is_of(self, frame: FrameType) -> bool:
        """Whether a frame is that of its call, and not a later one at the same place in memory."""
        mark = None if self.mark is None else self.mark()
        return mark is not None and any(value is mark for value in frame.f_locals.values())


#: Makes a request's engine and tracker: (the pipeline that calls, or None; whether it is one call of it) -> both.
NewRequest: TypeAlias = Callable[[Any, bool], tuple[Engine, Locator]]


class _Thread(threading.local):
    """A thread's requests.

    Attributes:
        calls: Of the calls of pipelines in progress, by the ids of their frames. An id may be used again, in another
            thread, a moment before the end of its call is known; that is why threads do not share this. Those of
            generators and coroutines, which another thread may resume, are not here.
        own: That of all other calls.
        last: The engine of the newest request.
        grid: What the scheduler of the newest call showed when it began: the same object until it makes a new grid.
    """

    own: Request | None = None
    last: Engine | None = None
    grid: object = None

    def __init__(self) -> None:
        self.calls: dict[int, Request] = {}


class Requests:
    """The requests of one session.

    A request is a call of a pipeline that holds the model, found on the stack: any pipeline, with any scheduler, in
    any thread. When that call returns, what its last step has left of its histories is freed. Where there is no such
    call, the main thread is a request. In other threads, such as those of a pool, nobody knows who calls; without
    models to look for, each thread is a request.

    Args:
        new: Makes a request's parts.
        models: The transformers.
        at_once: Tell observers of a call when it has ended. By default they are told when the next one begins, where
            an observer that fails can raise; a call ends where nothing can. If another one is in the model then, they
            are told at its next step, which has to go on: so what fails is printed.

    Attributes:
        lock: Held during each call of a transformer: what is attached to one is shared by all requests.
    """

    def __init__(self, new: NewRequest, models: Iterable[nn.Module], *, at_once: bool = False) -> None:
        self.lock = threading.RLock()
        self._at_once = at_once
        _ALL.add(self)
        self._new, self._models = new, tuple(models)
        self._finder = CallerFinder(self._models)
        self._thread = _Thread()
        self._pausing: dict[int, Request] = {}  # of the calls of generators and coroutines, by the ids of their frames
        self._open: set[weakref.ref[Request]] = set()  # of all threads; a thread's own request ends with it
        self._ended: deque[Engine] = deque()  # whose observers have not been told yet
        self._newest: Engine | None = None
        self._warned = False

    @property
    def report(self) -> CallReport:
        """The report of this thread's newest request; in a thread without any, of the newest of all."""
        self._announce_if_free()  # an observer may wait for a thread that asks for this
        return (self._thread.last or self._newest or self._new(None, False)[0]).report

    def current(self, told: HostCall | None = None) -> Request | None:  # noqa: ARG002 - for hosts, which tell it
        """The request to which the call in progress belongs; None if nobody knows."""
        if self._at_once and self._ended:
            self._announce()
        caller = self._finder.find(self._known)
        known = self._request_of(caller) if isinstance(caller, FrameType) else None
        if known is not None:
            request = known
        elif isinstance(caller, Caller):
            request = self._of_call(caller)
        elif self._models and threading.current_thread() is not threading.main_thread():
            return None
        else:
            request = self._of_thread()
        self._thread.last = self._newest = request.engine
        return request

    def end_run(self, run: Hashable) -> None:
        """End a run of a host.

        Raises:
            LesaError: There is no host.
        """
        raise LesaError(f"Session.end_run({run!r}): this session has no host that names runs. They end by themselves.")

    def close(self) -> None:
        """End all requests, and free their histories."""
        with self.lock:
            for each in tuple(self._open):
                request = each()
                if request is not None:
                    self._end(request)
            self._announce()

    def _known(self, frame: FrameType) -> Known | None:
        request = self._request_of(frame)
        return None if request is None else request.known

    def _request_of(self, frame: FrameType) -> Request | None:
        pausing = self._pausing.get(id(frame))
        return pausing if pausing is not None and pausing.is_of(frame) else self._thread.calls.get(id(frame))

    def _of_thread(self) -> Request:
        if self._thread.own is None:
            self._thread.own = self._made(Request(*self._new(None, False)))
        return self._thread.own

    def _of_call(self, caller: Caller) -> Request:
        frame = id(caller.frame)
        # A call that failed is alive for as long as somebody keeps its traceback, as notebooks do.
        for other in set(self._thread.calls) - caller.stack():
            failed = self._thread.calls.pop(other, None)  # a collection of garbage may have ended it by now
            if failed is not None:
                self._end(failed)
        self._announce()
        self._check_loop(caller)
        parts = self._new(caller.owner, caller.rank is not Rank.ARGUMENT)
        request = self._made(Request(*parts, (caller.owner, caller.rank)))
        calls = self._pausing if caller.may_pause else self._thread.calls

        def ended() -> None:
            if calls.get(frame) is request:
                calls.pop(frame, None)
            self._end(request)
            if self._at_once:
                self._announce_if_free()  # else whoever ends a call next, or calls the model

        request.mark = caller.mark(ended)
        calls[frame] = request
        return request

    def _check_loop(self, caller: Caller) -> None:
        """Warn once of a call that goes on where the one before, which computed most of its steps, has ended."""
        scheduler, last, before = caller.owner.scheduler, self._thread.last, self._thread.grid
        self._thread.grid = grid = getattr(scheduler, "timesteps", getattr(scheduler, "sigmas", None))
        if self._warned or last is None or grid is None or grid is not before or caller.rank is Rank.CALL:
            return
        report, index = last.report, getattr(scheduler, "step_index", -1)
        goes_on = index is not None and index != (getattr(scheduler, "begin_index", None) or 0)
        was_cached = report.num_steps > 2 * report.nfe
        if goes_on and not was_cached and 0 < report.num_steps < report.info.steps_to_run:
            self._warned = True
            warn(_PART[caller.rank].format(name=caller.frame.f_code.co_name))

    def _made(self, request: Request) -> Request:
        engine, tracker = request.engine, request.tracker

        def gone(reference: weakref.ref[Request]) -> None:
            """A thread's own request ends with its thread."""
            self._open.discard(reference)
            self._free(engine, tracker)

        self._open.add(weakref.ref(request, gone))
        return request

    def _end(self, request: Request) -> None:
        self._free(request.engine, request.tracker)

    def _free(self, engine: Engine, tracker: Locator) -> None:
        """Free what a request holds. Its end may be noticed in any thread, so this does not wait for the lock."""
        engine.free()
        tracker.forget()
        self._ended.append(engine)

    def _announce_if_free(self) -> None:
        if self.lock.acquire(blocking=False):
            try:
                self._announce()
            finally:
                self.lock.release()

    def _announce(self) -> None:
        while self._ended:
            close = self._ended.popleft().close
            try:
                close()
            except Exception:
                if not self._at_once:
                    raise
                traceback.print_exc()


_FREED = (
    "accelerate: each call of {name}() makes a part of the run, so little is cached, or nothing: what a call has "
    "computed is freed when it returns. "
)
_PART = {
    Rank.ARGUMENT: _FREED + "Give the pipeline, as an argument, to the function that has the loop over the steps.",
    Rank.METHOD: _FREED + "It is a method of the pipeline: make the loop over the steps a method of it too. Or make "
    "{name}() a function, and give the pipeline, as an argument, to the function that has the loop.",
}

#: All that are in use.
_ALL: weakref.WeakSet[Requests] = weakref.WeakSet()


def _renew_locks() -> None:
    for each in _ALL:
        each.lock = threading.RLock()


# A child process has one thread; a lock that another one held would be held for ever. Windows has no forks.
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_renew_locks)
