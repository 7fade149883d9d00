"""Keeps what is not finite from the head: by computing the step, or, without waiting, by replacing values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lesa_framework.runtime.features.weighing import not_finite, replaced
from lesa_framework.runtime.strategy import Agree, FiniteCheck, alone
from lesa_framework.types import EntryInfo
from lesa_framework.warning import warn


class _Found(NamedTuple):
    """How many values are not finite, and of how many of them those of the computed feature are not finite either."""

    bad: int
    stay: int = 0


def found_in(count: Tensor) -> _Found:
    """Read a count; waits for its device."""
    numbers: int | list[int] = count.tolist()
    return _Found(numbers) if isinstance(numbers, int) else _Found(*numbers)


class _Number(Protocol):
    """A count that a device works out."""

    def known(self) -> _Found | None:
        """The count; None while reading it would wait."""

    def read(self) -> _Found:
        """The count; waits for it."""


class _HostNumber:
    """On the CPU the count is there."""

    def __init__(self, count: Tensor) -> None:
        self._found = found_in(count)

    def known(self) -> _Found | None:
        return self._found

    def read(self) -> _Found:
        return self._found


class _CudaNumber:
    """A count that a GPU copies to pinned memory when it comes to it, and a mark behind the copy in its queue."""

    def __init__(self, count: Tensor) -> None:
        self._copy = count.to("cpu", non_blocking=True)  # torch takes pinned memory for it
        self._mark = torch.cuda.current_stream(count.device).record_event()

    def known(self) -> _Found | None:
        return found_in(self._copy) if self._mark.query() else None

    def read(self) -> _Found:
        self._mark.synchronize()
        return found_in(self._copy)


class _LateNumber:
    """Of other devices nobody can tell when they are done: the count stays there until it is waited for."""

    def __init__(self, count: Tensor) -> None:
        self._count = count

    def known(self) -> _Found | None:
        return None

    def read(self) -> _Found:
        self._count = self._count.cpu()  # once
        return found_in(self._count)


_NUMBERS: dict[str, Callable[[Tensor], _Number]] = {"cpu": _HostNumber, "cuda": _CudaNumber}


@dataclass(eq=False)
class _Count:
    """How many values were not finite at a step, of what was made from these entries."""

    branch: str
    step: int
    number: _Number
    entries: Sequence[EntryInfo] = ()

    @property
    def source(self) -> int | None:
        """The step whose computed feature gave its values; None if none was held."""
        return next((entry.step for entry in self.entries if entry.computed), None)


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
    _told: set[bool] = field(default_factory=set)  # whether of computed features

    def refuses(self, feature: Tensor) -> bool:
        """Whether the check is strict and a feature has NaN or infinity in it; waits for the device."""
        return self.check == "strict" and self.agree(not bool(torch.isfinite(feature).all()))

    def explain(self, refused: Tensor, computed: Tensor, branch: str, step: int, entries: Sequence[EntryInfo]) -> None:
        """Look whether what was refused has NaN or infinity from a computed feature; waits for the device, as strict.

        Args:
            refused: A prediction, or a correction.
            computed: What a computed step made, of the same shape and device.
            branch: The branch's name.
            step: The step's number.
            entries: What the history holds.
        """
        stay = (not_finite(refused) & not_finite(computed)).sum().cpu()
        if int(stay):
            found = _Count(branch, step, _HostNumber(torch.stack((stay, stay))), entries)
            self._counts.append(found)
            self._warn(found, found.number.read())

    @property
    def replaces(self) -> bool:
        """Whether values that are not finite are replaced."""
        return self.check is True

    def cleaned(
        self,
        feature: Tensor,
        instead: Callable[[], Tensor],
        branch: str,
        step: int,
        entries: Sequence[EntryInfo] = (),
    ) -> Tensor:
        """A feature whose values that are not finite are those of another one; nobody waits.

        Args:
            feature: A prediction, or a correction.
            instead: Returns what a computed step made, of the same shape, dtype and device.
            branch: The branch's name.
            step: The step's number.
            entries: What the history holds.

        Returns:
            A feature; the same tensor if nothing is checked, or if it is known to be finite.
        """
        if not self.replaces:
            return feature
        feature, count = replaced(feature, instead)
        self.note(count, branch, step, entries)
        return feature

    def note(self, count: Tensor | int, branch: str, step: int, entries: Sequence[EntryInfo] = ()) -> None:
        """Remember a count of what was not finite, which the device may not know yet."""
        if isinstance(count, int):
            if count == 0:
                return
            count = torch.tensor(count, device="cpu")
        found = _Count(branch, step, _NUMBERS.get(count.device.type, _LateNumber)(count), entries)
        self._counts.append(found)
        self._unread.setdefault(branch, []).append(found)

    def doubts(self, branch: str) -> bool:
        """Whether values of a branch were not finite, as far as that became known since it was last asked.

        Nobody waits. Processes that work together would learn it at different times, and one of them would compute
        alone: for them it is never so. They have the strict check, about which they agree.
        """
        unread = self._unread.get(branch)
        if not unread or self.agree is not alone:
            return False
        known = [(count, count.number.known()) for count in unread]  # asked once: it may arrive at any time
        self._unread[branch] = [count for count, found in known if found is None]
        bad = [(count, found) for count, found in known if found is not None and found.bad]
        for count, found in bad:
            self._warn(count, found)
        return bool(bad)

    def replaced(self) -> Mapping[tuple[str, int], int]:
        """How many values were replaced by finite ones, by branch and step, where any were; waits for the device."""
        found: Counter[tuple[str, int]] = Counter()
        for count in tuple(self._counts):
            bad, stay = count.number.read()
            found[count.branch, count.step] += bad - stay
        return +found  # without zeros

    def not_finite(self) -> frozenset[tuple[str, int]]:
        """Branches and steps whose computed feature was not finite where something was made of it; waits."""
        counts = [count for count in tuple(self._counts) if count.number.read().stay]
        return frozenset((count.branch, count.source) for count in counts if count.source is not None)

    def tell(self) -> None:
        """Warn of what was not finite and nobody was told of; waits for the device."""
        for count in tuple(self._counts):
            self._warn(count, count.number.read())

    def _warn(self, count: _Count, found: _Found) -> None:
        is_model = bool(found.stay) and count.source is not None
        if not found.bad or is_model in self._told:
            return
        self._told.add(is_model)
        if is_model:
            warn(
                f"The model's own feature at step {count.source} of '{count.branch}' is not finite, and neither are "
                f"{found.stay} value(s) that {self.predictor} made of it at step {count.step}: there is nothing to "
                "replace them by. Run the model in bfloat16 or float32, and look whether its picture is right with "
                "every step computed (`schedule: {kind: always}`).",
            )
            return
        warn(
            f"{self.predictor}: {found.bad} value(s) at step {count.step} of '{count.branch}' were not finite. They, "
            "and later ones, are replaced by those of the newest computed feature; the report tells how many and at "
            "which steps. Check the weights of predictor and model. To compute such steps, set `engine.check_finite` "
            "to `strict`.",
        )
