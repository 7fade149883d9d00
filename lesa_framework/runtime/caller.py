"""Finds who calls a model: the pipeline's call on the stack, and the pipeline."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from torch import nn

#: The name of a call's mark among its local variables; no identifier, so that it hides none.
_MARK = "<lesa request>"


class Mark:
    """Lives as long as the call that it was put into, because it is one of the call's local variables."""

    __slots__ = ("__weakref__",)


@dataclass(frozen=True)
class Caller:
    """A call in progress whose pipeline runs a model.

    Attributes:
        owner: The pipeline: it holds the model and a scheduler.
        frame: The call's frame. Keep no reference to it, which would keep its local variables.
        is_method: Whether it is a method of the pipeline, not a function that was given one.
    """

    owner: Any
    frame: FrameType
    is_method: bool

    def mark(self, ended: Callable[[], None]) -> weakref.ref[Mark]:
        """Have `ended` called when the call returns or fails.

        Returns:
            What the caller has to keep until then.
        """
        mark = Mark()
        # Frames accept no weak references, and their ids are used again; a local variable ends with its frame.
        self.frame.f_locals[_MARK] = mark
        return weakref.ref(mark, lambda _: ended())

    def stack(self) -> set[int]:
        """The ids of the call's frame, and of those that it is called from."""
        ids: set[int] = set()
        frame: FrameType | None = self.frame
        while frame is not None:
            ids.add(id(frame))
            frame = frame.f_back
        return ids


class CallerFinder:
    """Looks for the calls of pipelines that hold any of some models.

    The pipeline that calls need not be the accelerated one: servers make one for each request, all with one
    transformer and each with a scheduler of its own.

    Args:
        models: The transformers.
    """

    def __init__(self, models: Iterable[nn.Module]) -> None:
        self._models = tuple(models)

    def find(self, known: Callable[[int], Any]) -> Caller | int | None:
        """The call of a pipeline that is on the stack.

        Several calls may have been given the same pipeline: its own `__call__`, and the methods, blocks and helpers
        that this calls. The outermost of its methods is the one, or else the outermost function.

        Args:
            known: From a frame's id to the pipeline that was found for it before; None for other frames.

        Returns:
            A call that is not known yet, the id of a known one, or None when there is none.
        """
        found: Caller | None = None
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            owner = known(id(frame))
            if owner is not None:
                return id(frame) if found is None or found.owner is owner else found
            if found is None or not found.is_method or _may_be_method(frame.f_code, found.owner):
                owner, is_method = self._owner(frame)
                if owner is not None and found is not None and owner is not found.owner:
                    return found
                if owner is not None and (is_method or found is None or not found.is_method):
                    found = Caller(owner, frame, is_method)
            frame = frame.f_back
        return found

    def _owner(self, frame: FrameType) -> tuple[Any, bool]:
        """The pipeline among a call's arguments, and whether the call is a method of it."""
        code = frame.f_code
        names = _arguments(code)
        variables = frame.f_locals if names and self._models else {}
        for name in names:
            value = variables.get(name)
            if self._holds(value):
                return value, name == names[0] and _may_be_method(code, value)
        return None, False

    def _holds(self, value: Any) -> bool:
        try:
            parts = vars(value)
        except TypeError:
            return False
        return parts.get("scheduler") is not None and any(
            part is model for part in parts.values() for model in self._models
        )


def _arguments(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames[: code.co_argcount]


def _may_be_method(code: CodeType, owner: Any) -> bool:
    return _arguments(code)[:1] == ("self",) and hasattr(type(owner), code.co_name)
