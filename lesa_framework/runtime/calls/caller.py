"""Finds who calls a model: the pipeline's call on the stack, and the pipeline."""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from types import CodeType, FrameType
from typing import Any, TypeAlias

from torch import nn

from lesa_framework.layout import unwrapped

#: Modules whose calls lie between a pipeline's and ours, and are none of a pipeline.
BETWEEN = frozenset(
    {
        "torch.nn.modules.module",
        *(f"lesa_framework.runtime.{name}" for name in ("requests", "model.attach", "model.override")),
    }
)
_PAUSING = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Mark:
    """Lives as long as the call that it was put into, because it is one of the call's local variables."""

    __slots__ = ("__weakref__",)


class Rank(IntEnum):
    """How a call was given a pipeline: the highest rank on the stack is the request."""

    ARGUMENT = 0
    """A function, or another object's method."""
    METHOD = 1
    """A method of it, which may call it many times."""
    CALL = 2
    """The pipeline itself is called."""


#: A pipeline, and how the call that is known was given it.
Known: TypeAlias = tuple[Any, Rank]


@dataclass(frozen=True)
class Caller:
    """A call in progress whose pipeline runs a model.

    Attributes:
        owner: The pipeline: it holds the model and a scheduler.
        frame: The call's frame. Keep no reference to it, which would keep its local variables.
        rank: How it was given the pipeline.
    """

    owner: Any
    frame: FrameType
    rank: Rank

    def mark(self, ended: Callable[[], None]) -> weakref.ref[Mark]:
        """Have `ended` called when the call returns or fails.

        Returns:
            What the caller has to keep until then.
        """
        mark = Mark()
        # Frames accept no weak references, and their ids are used again; a local variable ends with its frame. Its name
        # is no identifier, so that it hides none, and another one for each session.
        self.frame.f_locals[f"<lesa request {id(mark)}>"] = mark
        return weakref.ref(mark, lambda _: ended())

    @property
    def may_pause(self) -> bool:
        """Whether it is a generator's or a coroutine's call, which may leave the stack and go on later."""
        return bool(self.frame.f_code.co_flags & _PAUSING)

    def stack(self) -> set[int]:
        """The ids of the call's frame, and of those that it is called from."""
        return {id(frame) for frame in _outwards(self.frame)}

    def may_be_within(self, frame: FrameType) -> bool:
        """Whether a call further out may be one of the same pipeline, of this rank or a higher one."""
        return self.rank is Rank.ARGUMENT or _is_method(frame.f_code, self.owner)

    def is_within(self, owner: Any, rank: Rank) -> bool:
        """Whether it belongs to a call further out, of this pipeline and rank."""
        return self.owner is owner and self.rank <= rank


class CallerFinder:
    """Looks for the calls of pipelines that hold any of some models.

    The pipeline that calls need not be the accelerated one: servers make one for each request, all with one
    transformer and each with a scheduler of its own.

    Args:
        models: The transformers.
    """

    def __init__(self, models: Iterable[nn.Module]) -> None:
        self._models = tuple(models)

    def find(self, known: Callable[[FrameType], Known | None]) -> Caller | FrameType | None:
        """The call of a pipeline that is on the stack.

        Several calls may have been given the same pipeline: its own, and the methods, blocks and helpers that this
        calls, or that call it. The one of the highest rank counts, and of these the outermost.

        Args:
            known: From a frame to what was found for it before; None for other frames.

        Returns:
            A call that is not known yet, a known one's frame, or None when there is none.
        """
        found: Caller | None = None
        for frame in _outwards(sys._getframe(1)):
            if frame.f_globals.get("__name__") in BETWEEN:
                continue
            before = known(frame)
            if found is None:
                if before is not None:
                    return frame
                found = self._caller(frame)
                continue
            if before is not None:
                return frame if found.is_within(*before) else found
            caller = self._caller(frame) if found.may_be_within(frame) else None
            if caller is not None and caller.owner is not found.owner:
                return found
            if caller is not None and caller.rank >= found.rank:
                found = caller
        return found

    def _caller(self, frame: FrameType) -> Caller | None:
        """A call that was given a pipeline; None if it was given none."""
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        variables = frame.f_locals if names and self._models else {}
        for name in names:
            value = variables.get(name)
            if self._holds(value):
                is_method = name == names[0] and _is_method(code, value)
                is_call = is_method and code.co_name == "__call__"
                return Caller(value, frame, Rank.CALL if is_call else Rank(is_method))
        return None

    def _holds(self, value: Any) -> bool:
        """Whether a value is a pipeline with one of the models and a scheduler."""
        try:
            inner = vars(value).get("_modules")
            parts = [*vars(value).values(), *(inner.values() if isinstance(inner, dict) else ())]
        except TypeError:  # it has slots, or is no object of a class of its own
            parts = [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
        is_holder = any(unwrapped(part) is model for part in parts for model in self._models)
        return is_holder and getattr(value, "scheduler", None) is not None


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_method(code: CodeType, owner: Any) -> bool:
    """Whether it is a method of an object's class, or was bound to the object alone, under its own name."""
    if code.co_varnames[:1] != ("self",):
        return False
    own = getattr(owner, "__dict__", {}).get(code.co_name)
    return hasattr(type(owner), code.co_name) or getattr(own, "__self__", None) is owner
