"""Families: methods of one sort share a colour, a shape and a name on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesa_framework.measure.results import Kind, Row

#: Families that have the same colour on every page; each other family gets the next free colour.
_FIXED = {"lesa": "0", "taylorseer": "1", "reuse": "2"}
_FREE = ("3", "4", "5", "6", "7", "8", "9")
_REPEATED = "triangle"
_PLAIN = "plain"
_SHAPES = {Kind.UNCACHED: "square", Kind.FEWER_STEPS: "square", Kind.CACHE: "circle", Kind.PEER: "diamond"}


@dataclass(frozen=True)
class Family:
    """One sort of methods.

    Attributes:
        name: As in the rows.
        label: For people.
        colour: Which of the style sheet's `--family-` colours.
        shape: circle (a cache of this framework), diamond (a peer) or square (plain runs);
            triangle where colours repeat.
    """

    name: str
    label: str
    colour: str
    shape: str


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
        shape = _SHAPES[kind]
        if colour is None:
            colour, shape = _FREE[free % len(_FREE)], shape if free < len(_FREE) else _REPEATED
            free += 1
        found[name] = Family(name, "fewer steps" if kind is Kind.FEWER_STEPS else name, colour, shape)
    return found
