"""PSNR against computed steps, drawn as SVG by hand so that the report needs no plotting library."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import takewhile

from lesa_framework.evaluation.rows import Row

_WIDTH, _HEIGHT = 640, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 150, 34, 44
_LABEL_GAP = 15


@dataclass(frozen=True)
class _Series:
    name: str
    points: tuple[tuple[int, float], ...]


def psnr_chart(rows: Sequence[Row]) -> str:
    """An SVG element; colours come from the page's `--series-N` variables, so that it fits light and dark."""
    series = _series(rows)
    if not series:
        return ""
    nfes = [nfe for one in series for nfe, _ in one.points]
    levels = [psnr for one in series for _, psnr in one.points]
    low, high = math.floor(min(levels)) - 1, math.ceil(max(levels)) + 1
    first, last = min(nfes) - 1, max(nfes) + 1

    def place(nfe: float, psnr: float) -> tuple[float, float]:
        x = _LEFT + (nfe - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - (psnr - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return x, y

    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="PSNR against computed steps">'
    ]
    step = max(1, math.ceil((high - low) / 7))
    for level in range(low, high + 1, step):
        x, y = place(first, level)
        parts.append(f'<line class="rule" x1="{x}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{x - 8}" y="{y + 4:.1f}" text-anchor="end">{level}</text>')
    for nfe in sorted(set(nfes)):
        x, y = place(nfe, low)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{nfe}</text>')
    middle = _LEFT + (_WIDTH - _LEFT - _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">computed steps (NFE)</text>')
    parts.append('<text class="tick" x="4" y="14">PSNR, dB</text>')
    parts += _draw(series, place)
    return "".join([*parts, "</svg>"])


def _series(rows: Sequence[Row]) -> list[_Series]:
    """Rows whose names differ only in a trailing `-n7` or `_10` are points of one line."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row.psnr_db is not None:
            found.setdefault(re.sub(r"[-_]n?\d+$", "", row.name), []).append((row.nfe, row.psnr_db))
    shared = _shared_prefix([name for name in found if "fewer_steps" not in name])
    return [_Series(name.removeprefix(shared), tuple(sorted(points))) for name, points in found.items()]


def _shared_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to a hyphen; labels have little room."""
    columns = zip(*(name.split("-") for name in names), strict=False)
    shared = takewhile(lambda words: len(set(words)) == 1, columns)
    return "".join(f"{words[0]}-" for words in shared) if len(names) > 1 else ""


def _draw(series: Sequence[_Series], place: object) -> list[str]:
    assert callable(place)
    parts: list[str] = []
    ends = sorted((place(*one.points[-1])[1], number) for number, one in enumerate(series))
    spread: dict[int, float] = {}
    below = -math.inf
    for y, number in ends:  # labels stand beside the last points, pushed apart where they would overlap
        below = max(y, below + _LABEL_GAP)
        spread[number] = below
    for number, one in enumerate(series):
        colour = f"var(--series-{number % 6})"
        spots = [place(*point) for point in one.points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"><title>{escape(one.name)}: NFE {nfe}, '
            f"{psnr:.2f} dB</title></circle>"
            for (x, y), (nfe, psnr) in zip(spots, one.points, strict=True)
        ]
        x = _WIDTH - _RIGHT + 10
        parts.append(
            f'<text x="{x}" y="{spread[number] + 4:.1f}" fill="{colour}" class="label">{escape(one.name)}</text>'
        )
    return parts
