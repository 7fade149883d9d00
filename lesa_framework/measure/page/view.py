"""The data that the template and the page's scripts show, made from results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple

from lesa_framework.measure.columns import columns, plain_run
from lesa_framework.measure.details import Details, Source
from lesa_framework.measure.results import QUALITY, Difference, Kind, ModelResults, Results, Row
from lesa_framework.run_plan import joined

#: Families that have the same colour on every page; each other family gets the next free colour, and
#: hollow marks where the colours repeat.
_FIXED = {"lesa": "0", "taylorseer": "1", "reuse": "2"}
_FREE = ("3", "4", "5", "6", "7", "8", "9")
_PLAIN = "plain"
_SHAPES = {Kind.UNCACHED: "square", Kind.FEWER_STEPS: "square", Kind.CACHE: "circle", Kind.PEER: "diamond"}

#: Names of up to this many characters are never shortened, ...
_WHOLE = 14
#: ... and of others at least so many stay at the end.
_TAIL = 8


@dataclass(frozen=True)
class Family:
    """One sort of methods.

    Attributes:
        name: As in the rows.
        label: For people.
        colour: Which of the style sheet's `--family-` colours.
        shape: circle (a cache of this framework), diamond (a peer) or square (plain runs).
        hollow: Whether its mark is an outline, because its colour repeats another family's.
    """

    name: str
    label: str
    colour: str
    shape: str
    hollow: bool


def families(rows: Sequence[Row]) -> dict[str, Family]:
    """The families of all rows by name: this framework's first, then plain runs, then peers."""
    order = [Kind.CACHE, Kind.FEWER_STEPS, Kind.PEER, Kind.UNCACHED]
    kinds: dict[str, Kind] = {}
    for row in sorted(rows, key=lambda row: (order.index(row.kind), row.family not in _FIXED)):
        kinds.setdefault(row.family, row.kind)
    found: dict[str, Family] = {}
    free = 0
    for name, kind in kinds.items():
        colour = _FIXED.get(name) if kind is Kind.CACHE else None
        if kind in {Kind.FEWER_STEPS, Kind.UNCACHED}:
            colour = _PLAIN
        is_sampler = kind is Kind.FEWER_STEPS and name != Kind.FEWER_STEPS
        hollow = is_sampler or (colour is None and free >= len(_FREE))
        if colour is None:
            colour = _FREE[free % len(_FREE)]
            free += 1
        label = "fewer steps" if name == Kind.FEWER_STEPS else name
        found[name] = Family(name, label, colour, _SHAPES[kind], hollow)
    return found


@dataclass(frozen=True)
class RowView:
    """A row, with what the page needs to know about it.

    Attributes:
        number: Its place in the file; elements that show it carry this number.
        row: The row.
        label: A short name.
        family: What it shares with others of its sort.
        best: Whether it has the highest PSNR at its NFE.
        level: Names of the methods that it is not certain to be ahead of: the interval of the difference holds 0, or
            one prompt gives no interval.
        cells: What each column shows, and the value that it is sorted by.
        source: How to reproduce its numbers.
        details: Its values pair by pair.
    """

    number: int
    row: Row
    label: str
    family: Family
    best: bool
    level: tuple[str, ...]
    cells: tuple[tuple[str, float | None], ...]
    source: Source
    details: Details

    @property
    def over(self) -> bool:
        """Whether it has a quality, but did more work than its NFE allows."""
        return self.row.psnr_db is not None and self.row.over

    @property
    def strips(self) -> list[tuple[str, str]]:
        """What ran when: branches, unless all did the same, and a letter for each of their steps."""
        branches: dict[str, list[str]] = {}
        for branch, letters in self.details.plans.items():
            branches.setdefault(letters, []).append(branch)
        return [("" if len(branches) == 1 else ", ".join(names), letters) for letters, names in branches.items()]

    def below(self, index: int) -> str:
        """What is written below its image of a pair."""
        values = self.details.scores.get(QUALITY, [])[index : index + 1]
        return below(self.row.kind, values[0]) if values else ""

    def payload(self, model: int) -> dict[str, Any]:
        """What the scripts read."""
        row = self.row
        return {
            "model": model,
            "name": row.name,
            "label": self.label,
            "family": row.family,
            "uncached": row.kind is Kind.UNCACHED,
            "ours": row.kind is Kind.CACHE,
            "peer": row.kind is Kind.PEER,
            "over": self.over,
            "nfe": row.nfe,
            "psnr": row.psnr_db,
            "work": row.nfe if row.work is None else row.work,
            "seconds": row.seconds,
            "cache": row.cache_bytes,
            "best": self.best,
            "curve": self.details.step_rel_l2,
            "plan": joined(self.details.plans, row.num_steps),
        }


def below(kind: Kind, psnr: float | None) -> str:
    """What is written below an image: its PSNR, if it is not the uncached one itself."""
    if kind is Kind.UNCACHED:
        return ""
    return "identical" if psnr is None else f"{psnr:.1f} dB"


class Bar(NamedTuple):
    """Position of an interval on the scale that all intervals of a model share, in percent of its width."""

    left: float
    width: float
    mean: float
    zero: float


@dataclass(frozen=True)
class ModelView:
    """One model: its place in the file, what belongs to it, and its rows and NFEs in the order of tables."""

    number: int
    found: ModelResults
    rows: tuple[RowView, ...]
    nfes: tuple[int, ...]
    differences: tuple[Difference, ...]

    @cached_property
    def named(self) -> dict[str, RowView]:
        """The rows by name."""
        return {view.row.name: view for view in self.rows}

    @property
    def time_parts(self) -> list[str]:
        """Parts of a run that were timed, if any."""
        return list(next((view.details.split_seconds for view in self.rows if view.details.split_seconds), ()))

    @cached_property
    def pictured(self) -> dict[int | None, list[RowView]]:
        """The rows that have images, the uncached one by None and then by NFE."""
        turns: dict[int | None, list[RowView]] = {}
        for view in self.rows:
            if self.found.images.get(view.row.name):
                turns.setdefault(None if view.row.kind is Kind.UNCACHED else view.row.nfe, []).append(view)
        return turns

    @property
    def examples(self) -> int:
        """Number of pairs of which every pictured row has an image."""
        images = [len(self.found.images[view.row.name]) for views in self.pictured.values() for view in views]
        return min([*images, len(self.found.pairs)]) if images else 0

    def bar(self, difference: Difference) -> Bar | None:
        """The bar of an interval; None where there is none."""
        ends = [end for each in self.differences for end in (each.low_db, each.high_db) if end is not None]
        low, high = min([0.0, *ends]), max([0.0, *ends])
        if difference.low_db is None or difference.high_db is None or high == low:
            return None
        left, right, mean, zero = (
            round(100 * (value - low) / (high - low), 2)
            for value in (difference.low_db, difference.high_db, difference.mean_db, 0.0)
        )
        return Bar(left, round(right - left, 2), mean, zero)


def model_views(results: Results) -> list[ModelView]:
    """All models of a file, in its order."""
    return [_model_view(number, found, results) for number, found in enumerate(results.models)]


def payload(models: Sequence[ModelView], results: Results) -> dict[str, Any]:
    """What the scripts read: models, families and rows; elements of the page refer to rows by number."""
    return {
        "models": [
            {"name": each.found.model, "steps": each.found.num_steps, "frames": each.found.frames, "nfes": each.nfes}
            for each in models
        ],
        "families": {
            name: {"label": each.label, "colour": each.colour, "shape": each.shape, "hollow": each.hollow}
            for name, each in families(results.rows).items()
        },
        "rows": {view.number: view.payload(model.number) for model in models for view in model.rows},
    }


def _model_view(number: int, found: ModelResults, results: Results) -> ModelView:
    rows, shown, sorts = results.of_model(found.model), columns(results), families(results.rows)
    labels, best = short_names(rows), results.best(found.model)
    places = {row.name: place for place, row in enumerate(results.rows) if row.model == found.model}
    views = tuple(
        RowView(
            number=places[row.name],
            row=row,
            label=labels[row.name],
            family=sorts[row.family],
            best=row.name in best,
            level=level_with(results, row) if row.name in best else (),
            cells=tuple((column.text(row), column.read(row)) for column in shown),
            source=found.sources.get(row.name, Source()),
            details=found.details.get(row.name, Details()),
        )
        for row in results.in_order(found.model)
    )
    differences = [each for each in results.differences if each.model == found.model]
    known = tuple(each for each in differences if {each.ours, each.theirs} <= labels.keys())
    return ModelView(number, found, views, tuple(results.nfes(found.model)), known)


def level_with(results: Results, row: Row) -> tuple[str, ...]:
    """Names of the methods that the best of an NFE is not certain to be ahead of."""
    return tuple(
        each.theirs
        for each in results.differences
        if (each.model, each.nfe, each.ours) == (row.model, row.nfe, row.name) and not each.certain
    )


def halves(name: str) -> tuple[str, str]:
    """A name in two parts: a narrow page leaves out the end of the first, because names differ at their ends."""
    end = min(len(name) - 1, max(len(name) // 2, _TAIL))
    return (name[:-end], name[-end:]) if len(name) > _WHOLE else ("", name)


def short_names(rows: Sequence[Row]) -> dict[str, str]:
    """Names of one model's rows, without the beginning that all its configurations share.

    `ref-flux-lesa-n7` becomes `lesa-n7`, and `fewer_steps_10` becomes `10 plain steps`. Only whole words are left out
    that end in a hyphen, and never a whole name.
    """
    names = [row.name for row in rows if row.kind is Kind.CACHE]
    words = zip(*(name.split("-")[:-1] for name in names), strict=False)
    same = takewhile(lambda each: len(set(each)) == 1, words)
    shared = "".join(f"{each[0]}-" for each in same) if len(names) > 1 else ""
    return {row.name: plain_run(row) if row.kind is Kind.FEWER_STEPS else row.name.removeprefix(shared) for row in rows}
