"""The requests that share a model: each has an engine and a tracker of its own, and is told apart by who calls."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn

from lesa_framework.report import CallReport
from lesa_framework.runtime.caller import Caller, CallerFinder, Mark
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.tracking import Tracker


@dataclass(eq=False)
class Request:
    """One call of a pipeline; where no pipeline is found, all calls of one thread.

    Attributes:
        engine: Decides and predicts; holds the histories.
        tracker: Tells runs, steps and branches apart.
        owner: The pipeline that calls, if it was found.
        may_pause: Its call is a generator's, which may be off the stack and go on later.
        mark: Tells when its call ends.
    """

    engine: Engine
    tracker: Tracker
    owner: Any = None
    may_pause: bool = False
    mark: weakref.ref[Mark] | None = None


#: Makes a request's engine and tracker: (the pipeline that calls, or None; whether it is one call of it) -> both.
NewRequest: TypeAlias = Callable[[Any, bool], tuple[Engine, Tracker]]


class _Thread(threading.local):
    """A thread's requests.

    Attributes:
        calls: Of the calls of pipelines in progress, by the ids of their frames. An id may be used again, in another
            thread, a moment before the end of its call is known; that is why threads do not share this.
        own: That of all other calls.
        last: The engine of the newest request.
    """

    own: Request | None = None
    last: Engine | None = None

    def __init__(self) -> None:
        self.calls: dict[int, Request] = {}


class Requests:
    """The requests of one session.

    A request is a call of a pipeline that holds the model, found on the stack: any pipeline, with any scheduler, in
    any thread. When that call returns, its histories are freed. Where there is no such call, a thread is a request.

    Args:
        new: Makes a request's parts.
        models: The transformers.

    Attributes:
        lock: Held during each call of a transformer: what is attached to one is shared by all requests.
    """

    def __init__(self, new: NewRequest, models: Iterable[nn.Module]) -> None:
        self.lock = threading.RLock()
        self._new, self._finder = new, CallerFinder(models)
        self._thread = _Thread()
        self._open: set[weakref.ref[Request]] = set()  # of all threads; a thread's own request ends with it
        self._ended: deque[Engine] = deque()  # whose observers have not been told yet
        self._newest: Engine | None = None

    @property
    def report(self) -> CallReport:
        """The report of this thread's newest request; in a thread without any, of the newest of all."""
        with self.lock:
            self._announce()
            engine = self._thread.last or self._newest or self._new(None, False)[0]
            return engine.report

    def current(self) -> Request:
        """The request to which the call in progress belongs."""
        caller = self._finder.find(self._owner)
        if isinstance(caller, int):
            request = self._thread.calls[caller]
        else:
            request = self._of_thread() if caller is None else self._of_call(caller)
        self._thread.last = self._newest = request.engine
        return request

    def close(self) -> None:
        """End all requests, and free their histories."""
        with self.lock:
            for each in tuple(self._open):
                request = each()
                if request is not None:
                    self._end(request)
            self._announce()

    def _owner(self, frame: int) -> Any:
        request = self._thread.calls.get(frame)
        return None if request is None else request.owner

    def _of_thread(self) -> Request:
        if self._thread.own is None:
            self._thread.own = self._made(None, covers_call=False)
        return self._thread.own

    def _of_call(self, caller: Caller) -> Request:
        calls, frame = self._thread.calls, id(caller.frame)
        # A call that failed is alive for as long as somebody keeps its traceback, as notebooks do.
        for other in set(calls) - caller.stack():
            if not calls[other].may_pause:
                self._end(calls.pop(other))
        self._announce()
        request = self._made(caller.owner, covers_call=caller.is_method)
        request.may_pause = bool(caller.frame.f_code.co_flags & inspect.CO_GENERATOR)

        def ended() -> None:
            calls.pop(frame, None)
            self._end(request)

        request.mark = caller.mark(ended)
        calls[frame] = request
        return request

    def _made(self, owner: Any, *, covers_call: bool) -> Request:
        request = Request(*self._new(owner, covers_call), owner)
        self._open.add(weakref.ref(request, self._open.discard))
        return request

    def _end(self, request: Request) -> None:
        """Free what a request holds. Its end may be noticed in any thread, so this does not wait for the lock."""
        request.engine.free()
        request.tracker.forget()
        self._ended.append(request.engine)

    def _announce(self) -> None:
        while self._ended:
            self._ended.popleft().close()
