"""The data that the template shows, made from results: everything about one model, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from lesa_framework.measure.columns import Column
from lesa_framework.measure.details import Details
from lesa_framework.measure.page.families import Family
from lesa_framework.measure.page.names import short_names
from lesa_framework.measure.results import QUALITY, Difference, Kind, ModelResults, Results, Row, Source, ranked


@dataclass(frozen=True)
class RowView:
    """A row, with what the page needs to know about it.

    Attributes:
        number: Its place in the file; elements that show it carry this number.
        row: The row.
        label: A short name.
        family: What it shares with others of its sort.
        best: Whether it has the highest PSNR at its NFE.
        over: Whether it has a quality, but did more work than its NFE allows.
        cells: What each column shows, and the value that it is sorted by.
        source: How to reproduce its numbers.
        details: Its values pair by pair.
    """

    number: int
    row: Row
    label: str
    family: Family
    best: bool
    over: bool
    cells: tuple[tuple[str, float | None], ...]
    source: Source
    details: Details


@dataclass(frozen=True)
class Strip:
    """The plan of one method on the branches that share it, one letter per step."""

    view: RowView
    branches: str
    letters: str


@dataclass(frozen=True)
class Picture:
    """One image of the grid, with the PSNR that is written below it."""

    view: RowView
    source: str
    below: str


@dataclass(frozen=True)
class Example:
    """One prompt and its image by every method."""

    prompt: str
    seed: int
    pictures: tuple[Picture, ...]

    @property
    def turns(self) -> list[tuple[int | None, list[Picture]]]:
        """The uncached image, with None as its NFE, and then those of each NFE."""
        found: dict[int | None, list[Picture]] = {}
        for picture in self.pictures:
            row = picture.view.row
            found.setdefault(None if row.kind is Kind.UNCACHED else row.nfe, []).append(picture)
        return list(found.items())


@dataclass(frozen=True)
class Bar:
    """Position of an interval on the scale that all intervals of a model share, in percent of its width."""

    left: float
    width: float
    mean: float
    zero: float


@dataclass(frozen=True)
class Contrast:
    """A paired difference between two rows, and its bar when there is an interval."""

    ours: RowView
    theirs: RowView
    difference: Difference
    bar: Bar | None


@dataclass(frozen=True)
class ModelView:
    """One model.

    Attributes:
        number: Its place in the file.
        found: What belongs to it.
        rows: The uncached run, then by NFE, the most computed steps first, the best PSNR on top, and what is excluded
            at the end.
        nfes: The numbers of computed steps, most first.
        strips: What ran when.
        examples: Its images.
        contrasts: Its paired differences.
        time_parts: Parts of a run that were timed, if any.
        call: Arguments of the pipeline, as YAML.
        properties: What is known of the model itself, as YAML.
    """

    number: int
    found: ModelResults
    rows: tuple[RowView, ...]
    nfes: tuple[int, ...]
    strips: tuple[Strip, ...]
    examples: tuple[Example, ...]
    contrasts: tuple[Contrast, ...]
    time_parts: tuple[str, ...]
    call: str
    properties: str


def model_views(results: Results, families: dict[str, Family], columns: Sequence[Column]) -> list[ModelView]:
    """All models of a file, in its order."""
    return [_model_view(number, found, results, families, columns) for number, found in enumerate(results.models)]


def as_yaml(content: object) -> str:
    """A JSON value as YAML, for people to read."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100) if content else ""


def _model_view(
    number: int, found: ModelResults, results: Results, families: dict[str, Family], columns: Sequence[Column]
) -> ModelView:
    views = _row_views(found, results, families, columns)
    named = {view.row.name: view for view in views}
    return ModelView(
        number=number,
        found=found,
        rows=views,
        nfes=tuple(results.nfes(found.model)),
        strips=tuple(strip for view in views for strip in _strips(view)),
        examples=tuple(_examples(found, views)),
        contrasts=tuple(_contrasts([each for each in results.differences if each.model == found.model], named)),
        time_parts=tuple(next((view.details.split_seconds for view in views if view.details.split_seconds), ())),
        call=as_yaml({**found.call, "batch": found.batch}),
        properties=as_yaml(found.properties),
    )


def _row_views(
    found: ModelResults, results: Results, families: dict[str, Family], columns: Sequence[Column]
) -> tuple[RowView, ...]:
    rows = results.of_model(found.model)
    labels = short_names(rows)
    best = {ranking[0].name for nfe in results.nfes(found.model) if (ranking := ranked(rows, nfe))}
    return tuple(
        RowView(
            number=place,
            row=row,
            label=labels[row.name],
            family=families[row.family],
            best=row.name in best,
            over=row.psnr_db is not None and row.over,
            cells=tuple((column.text(row), column.read(row)) for column in columns),
            source=found.sources.get(row.name, Source()),
            details=found.details.get(row.name, Details()),
        )
        for place, row in sorted(enumerate(results.rows), key=_order)
        if row.model == found.model
    )


def _contrasts(differences: Sequence[Difference], named: dict[str, RowView]) -> list[Contrast]:
    ends = [end for each in differences for end in (each.low_db, each.high_db) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])

    def bar(each: Difference) -> Bar | None:
        if each.low_db is None or each.high_db is None or high == low:
            return None
        left, right, mean, zero = (
            round(100 * (value - low) / (high - low), 2) for value in (each.low_db, each.high_db, each.mean_db, 0.0)
        )
        return Bar(left, round(right - left, 2), mean, zero)

    return [
        Contrast(named[each.ours], named[each.theirs], each, bar(each))
        for each in differences
        if each.ours in named and each.theirs in named
    ]


def _order(numbered: tuple[int, Row]) -> tuple[bool, int, bool, bool, float]:
    row = numbered[1]
    known = row.error is None
    return row.kind is not Kind.UNCACHED, -row.nfe, not known, not row.competes, -(row.psnr_db or 0.0)


def _strips(view: RowView) -> list[Strip]:
    branches: dict[str, list[str]] = {}
    for branch, letters in view.details.plans.items():
        branches.setdefault(letters, []).append(branch)
    return [Strip(view, "" if len(branches) == 1 else ", ".join(names), letters) for letters, names in branches.items()]


def _examples(found: ModelResults, views: Sequence[RowView]) -> list[Example]:
    shown = [view for view in views if found.images.get(view.row.name)]
    count = min((len(found.images[view.row.name]) for view in shown), default=0)
    return [
        Example(
            pair.prompt,
            pair.seed,
            tuple(Picture(view, found.images[view.row.name][index], _below(view, index)) for view in shown),
        )
        for index, pair in enumerate(found.pairs[:count])
    ]


def _below(view: RowView, index: int) -> str:
    if view.row.kind is Kind.UNCACHED:
        return ""
    each = view.details.scores.get(QUALITY, [])
    if index >= len(each):
        return ""
    value = each[index]
    return "identical" if value is None else f"{value:.1f} dB"
