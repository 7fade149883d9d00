"""About how many bytes commands will write, by what such files took before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lesa_framework.cli import machine
from lesa_framework.cli.forecast import Part, Room
from lesa_framework.interfaces.fit import FitSize

#: Bytes of a PNG over those of its pixels: pictures come to about half, noise to nearly all.
_PNG = 0.5
#: Characters of an embedded picture over bytes of its pixels: without loss up to so many pixels a side, and with some.
_EMBEDDED, _EMBEDDED_LARGE, _SMALL, _LIMIT = 0.58, 0.1, 128, 512
#: Of a results file, for each row and for each sample in it; of its page, for each row, and plotly.
_ROW, _ROW_SAMPLE, _PAGE_ROW, _PAGE = 2040, 120, 4450, 4_867_000
#: Of a part of a benchmark.
_PART = 300
#: Of a demo's sheet, for each cell.
_CELL = 11_000
#: Of a fit: what files hold besides numbers, and an entry of the log.
_WEIGHTS_HEAD, _STATE_HEAD, _CONFIG, _LOG_ENTRY = 6_000, 14_000, 900, 90
#: Of a search: a candidate in the record and on the page, a score in the record, and the page's own text.
_CANDIDATE, _SCORE, _SEARCH_PAGE = 260, 26, 9_000


def pictures(sample: tuple[int, ...], count: int) -> int:
    """Bytes of so many PNG files of samples of this shape; 0 where it is not known."""
    return round(_PNG * count * math.prod(sample)) if sample else 0


def results(
    sample: tuple[int, ...], rows: int, samples: int, shown: int, *, numbers: bool, page: bool
) -> tuple[Part, ...]:
    """What a comparison of one model writes.

    Args:
        sample: Shape of one; empty where it is not known.
        rows: Methods.
        samples: Of each.
        shown: Of these, how many the page shows.
        numbers: Whether there is a file of results.
        page: Whether there is one.
    """
    images = rows * min(samples, shown) * _embedded(sample)
    found = [Part("results", rows * (_ROW + samples * _ROW_SAMPLE) + images)] if numbers else []
    return (*found, *([Part("page", rows * _PAGE_ROW + images)] if page else []))


def cells(sample: tuple[int, ...], rows: int, batches: int, shown: int) -> int:
    """Bytes of a benchmark's finished parts besides tensors: numbers and images."""
    return rows * ((batches + 1) * _PART + shown * _embedded(sample))


def page_itself() -> Part:
    """What every page holds: the library that draws its plots."""
    return Part("page", _PAGE)


def sheet(rows: int, shown: int) -> int:
    """Bytes of the sheet of all images of a demo."""
    return _CELL * rows * shown


def fitted(size: FitSize | None) -> tuple[Part, ...]:
    """The files of a fit; none where it does not know."""
    if size is None:
        return ()
    return (
        Part("weights", size.weights + _WEIGHTS_HEAD),
        Part("checkpoint", size.state and size.state + _STATE_HEAD),
        Part("configuration and log", _CONFIG + _LOG_ENTRY * size.parts),
    )


def searched(candidates: int, scores: int) -> tuple[Part, ...]:
    """The record of a search and its page.

    Args:
        candidates: How many are tried.
        scores: Of each, at most.
    """
    return (Part("record and page", candidates * (_CANDIDATE + _SCORE * scores) + _SEARCH_PAGE),)


def room_of(out: Path, parts: Sequence[Part], more: str = "", *, beside: Path | None = None) -> Room:
    """What is written to a file or folder, and to a second file if one is given."""
    where = f"{out}" if beside in {None, out} else f"{out} and {beside}"
    return Room(f"in {where}", tuple(parts), machine.free_disk(out), more)


def _embedded(sample: tuple[int, ...]) -> int:
    if not sample:
        return 0
    side = max(sample[-2:])
    if side <= _SMALL:
        return round(_EMBEDDED * math.prod(sample))
    return round(_EMBEDDED_LARGE * math.prod(sample) * min(1.0, _LIMIT / side) ** 2)


def merged(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts of the same name as one."""
    found: dict[str, Part] = {}
    for each in parts:
        known = found.get(each.name)
        found[each.name] = each if known is None else replace(known, nbytes=known.nbytes + each.nbytes)
    return tuple(found.values())
