"""Keeps what is not finite from the head: by computing the step, or, without waiting, by replacing values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from lesa_framework.runtime.features.weighing import replaced
from lesa_framework.runtime.strategy import Agree, FiniteCheck, alone
from lesa_framework.warning import warn


class _Number(Protocol):
    """A number that a device works out."""

    def known(self) -> int | None:
        """The number; None while reading it would wait."""

    def read(self) -> int:
        """The number; waits for it."""


class _HostNumber:
    """On the CPU the number is there."""

    def __init__(self, number: Tensor) -> None:
        self._number = int(number)

    def known(self) -> int | None:
        return self._number

    def read(self) -> int:
        return self._number


class _CudaNumber:
    """A number that a GPU copies to pinned memory when it comes to it, and a mark behind the copy in its queue."""

    def __init__(self, number: Tensor) -> None:
        self._copy = number.to("cpu", non_blocking=True)  # torch takes pinned memory for it
        self._mark = torch.cuda.current_stream(number.device).record_event()

    def known(self) -> int | None:
        return int(self._copy) if self._mark.query() else None

    def read(self) -> int:
        self._mark.synchronize()
        return int(self._copy)


class _LateNumber:
    """Of other devices nobody can tell when they are done: the number stays there until it is waited for."""

    def __init__(self, number: Tensor) -> None:
        self._number: Tensor | int = number

    def known(self) -> int | None:
        return None

    def read(self) -> int:
        self._number = int(self._number)
        return self._number


_NUMBERS: dict[str, Callable[[Tensor], _Number]] = {"cpu": _HostNumber, "cuda": _CudaNumber}


@dataclass(eq=False)
class _Count:
    """How many values were replaced at a step."""

    branch: str
    step: int
    number: _Number


@dataclass(eq=False)
class Finite:
    """The finite check of one run.

    Args:
        check: What is done about a tensor that is not finite.
        agree: How this process agrees with others.
        predictor: Name of the predictor's class, for the warning.
    """

    check: FiniteCheck = True
    agree: Agree = alone
    predictor: str = ""
    # A report may read these in one thread while the run goes on in another: they are only ever added to.
    _counts: list[_Count] = field(default_factory=list)
    _unread: dict[str, list[_Count]] = field(default_factory=dict)  # by branch
    _has_warned: bool = False

    def refuses(self, feature: Tensor) -> bool:
        """Whether the check is strict and a feature has NaN or infinity in it; waits for the device."""
        return self.check == "strict" and self.agree(not bool(torch.isfinite(feature).all()))

    @property
    def replaces(self) -> bool:
        """Whether values that are not finite are replaced."""
        return self.check is True

    def cleaned(self, feature: Tensor, instead: Callable[[], Tensor], branch: str, step: int) -> Tensor:
        """A feature whose values that are not finite are those of another one; nobody waits.

        Args:
            feature: A prediction, or a correction.
            instead: Returns what a computed step made, of the same shape, dtype and device.
            branch: The branch's name.
            step: The step's number.

        Returns:
            A feature; the same tensor if nothing is checked, or if it is known to be finite.
        """
        if not self.replaces:
            return feature
        feature, count = replaced(feature, instead)
        self.note(count, branch, step)
        return feature

    def note(self, count: Tensor | int, branch: str, step: int) -> None:
        """Remember how many values were replaced, a number that the device may not know yet."""
        if isinstance(count, int):
            if count == 0:
                return
            count = torch.tensor(count, device="cpu")
        found = _Count(branch, step, _NUMBERS.get(count.device.type, _LateNumber)(count))
        self._counts.append(found)
        self._unread.setdefault(branch, []).append(found)

    def doubts(self, branch: str) -> bool:
        """Whether values of a branch were replaced, as far as that became known since it was last asked.

        Nobody waits. Processes that work together would learn it at different times, and one of them would compute
        alone: for them it is never so. They have the strict check, about which they agree.
        """
        unread = self._unread.get(branch)
        if not unread or self.agree is not alone:
            return False
        known = [(count, count.number.known()) for count in unread]  # asked once: it may arrive at any time
        self._unread[branch] = [count for count, number in known if number is None]
        found = [(count.step, number) for count, number in known if number]
        for step, number in found:
            self._warn(branch, step, number)
        return bool(found)

    def replaced(self) -> Mapping[tuple[str, int], int]:
        """How many values were replaced, by branch and step, where any were; waits for the device."""
        found: Counter[tuple[str, int]] = Counter()
        for count in tuple(self._counts):
            found[count.branch, count.step] += count.number.read()
        return +found  # without zeros

    def tell(self) -> None:
        """Warn if values were replaced and nobody was told; waits for the device."""
        for (branch, step), number in self.replaced().items():
            self._warn(branch, step, number)

    def _warn(self, branch: str, step: int, number: int) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        warn(
            f"{self.predictor}: {number} value(s) at step {step} of '{branch}' were not finite. They, and later ones, "
            "are replaced by those of the newest computed feature; the report tells how many and at which steps. "
            "Check the weights of predictor and model. To compute such steps, set `engine.check_finite` to `strict`.",
        )
