"""The ten lines of the front page: which row each is of, on each of the paper's three systems.

The best order of TaylorSeer and of UniPC is chosen in the results of the selection pairs, so its published number was
not looked at.
Of other libraries' caches the one with the best published number is taken: what luck there is in that is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lesa_framework.measure.intervals import compared
from lesa_framework.measure.results import Difference, Kind, ModelResults, Results, Row, fewer_steps_name, ranked


@dataclass(frozen=True)
class System:
    """A model that the paper reports, at the NFE of its headline.

    Attributes:
        backbone: The model's name here, after `reference:`.
        title: Its published name.
        nfe: Computed steps.
        paper: The paper's schedule for that many.
        even: The schedule of as many steps, spread evenly.
    """

    backbone: str
    title: str
    nfe: int
    paper: str
    even: str

    @property
    def model(self) -> str:
        """The bundled model."""
        return f"reference:{self.backbone}"


SYSTEMS = (
    System("flux", "FLUX", 10, "n7", "even10"),
    System("qwen_image", "Qwen-Image", 8, "n10", "even8"),
    System("hunyuan_video", "HunyuanVideo", 10, "n7", "even10"),
)


@dataclass(frozen=True)
class Line:
    """A line of the front page: a method, and its row on each system; None where it has none."""

    label: str
    rows: tuple[Row | None, ...]


@dataclass(frozen=True)
class Claim:
    """What one line of the front page is ahead of another by, on each system."""

    text: str
    differences: tuple[Difference | None, ...]


class FrontRows:
    """Chooses rows.

    Args:
        selection: Results on the pairs that methods are chosen on.
        published: Results on the pairs that numbers are published of.
    """

    def __init__(self, selection: Results, published: Results) -> None:
        self._selection, self._published = selection, published

    def lines(self) -> list[Line]:
        """The lines, ours and the paper's method first."""
        return [each for each in self._every() if each.label != OURS_PAPER]

    def claims(self) -> list[Claim]:
        """The differences that the front page speaks of, with their intervals."""
        lines = {line.label: line.rows for line in self._every()}
        lines[_ANY_PEER] = tuple(self._peer(each, lambda _: True) for each in SYSTEMS)
        return [Claim(text, tuple(map(self._difference, lines[ours], lines[theirs]))) for text, ours, theirs in _CLAIMS]

    def _every(self) -> list[Line]:
        return [Line(label, tuple(choose(each) for each in SYSTEMS)) for label, choose in self._choices().items()]

    def _choices(self) -> dict[str, Callable[[System], Row | None]]:
        return {
            FITTED: lambda each: self._named(each, f"ref-{each.backbone}-fitted-nfe{each.nfe}"),
            OURS_EVEN: lambda each: self._named(each, f"ref-{each.backbone}-lesa-{each.even}"),
            OURS_PAPER: lambda each: self._named(each, f"ref-{each.backbone}-lesa-{each.paper}"),
            PAPERS: lambda each: self._named(each, f"ref-{each.backbone}-lesa-paper-{each.paper}"),
            TAYLOR_EVEN: lambda each: self._taylorseer(each, each.even),
            TAYLOR_PAPER: lambda each: self._taylorseer(each, each.paper),
            TOLD: lambda each: self._peer(each, lambda row: bool(row.schedule)),
            UNTOLD: lambda each: self._peer(each, lambda row: not row.schedule),
            UNIPC: self._unipc,
            FEWER: lambda each: self._named(each, fewer_steps_name(each.nfe)),
        }

    def _named(self, system: System, name: str) -> Row | None:
        return next((row for row in self._published.of_model(system.model) if row.name == name), None)

    def _taylorseer(self, system: System, schedule: str) -> Row | None:
        return self._chosen(system, lambda row: (row.family, row.schedule) == ("taylorseer", schedule))

    def _unipc(self, system: System) -> Row | None:
        return self._chosen(system, lambda row: row.family.startswith("unipc"))

    def _chosen(self, system: System, wanted: Callable[[Row], bool]) -> Row | None:
        """The published row of the method that is the best on the selection pairs."""
        rows = ranked(self._selection.of_model(system.model), system.nfe)
        return next((self._named(system, row.name) for row in rows if wanted(row)), None)

    def _peer(self, system: System, wanted: Callable[[Row], bool]) -> Row | None:
        peers = [row for row in ranked(self._published.of_model(system.model), system.nfe) if row.kind is Kind.PEER]
        return next(filter(wanted, peers), None)

    def _difference(self, ours: Row | None, theirs: Row | None) -> Difference | None:
        return compared(ours, theirs, self._found(ours.model)) if ours and theirs else None

    def _found(self, model: str) -> ModelResults:
        return next(found for found in self._published.models if found.model == model)


FITTED = "fitted, searched steps"
OURS_EVEN = "LESA, our recipe, even steps"
OURS_PAPER = "LESA, our recipe, the paper's steps"
PAPERS = "LESA, the paper's recipe and steps"
TAYLOR_EVEN = "TaylorSeer, even steps"
TAYLOR_PAPER = "TaylorSeer, the paper's steps"
TOLD = "another library's cache, told its steps"
UNTOLD = "another library's cache, its own steps"
UNIPC = "fewer steps with UniPC, no cache"
FEWER = "fewer steps, no cache"

_ANY_PEER = "the best cache of another library"
_CLAIMS: Sequence[tuple[str, str, str]] = (
    ("fitted minus TaylorSeer on even steps", FITTED, TAYLOR_EVEN),
    ("fitted minus our LESA on even steps", FITTED, OURS_EVEN),
    ("fitted minus the best cache of another library", FITTED, _ANY_PEER),
    ("our LESA minus TaylorSeer, both on even steps", OURS_EVEN, TAYLOR_EVEN),
    ("our LESA minus the best cache of another library", OURS_EVEN, _ANY_PEER),
    ("our LESA minus the paper's recipe, both on the paper's steps", OURS_PAPER, PAPERS),
    ("the paper's recipe minus TaylorSeer, both on the paper's steps", PAPERS, TAYLOR_PAPER),
    ("the paper's recipe minus fewer steps", PAPERS, FEWER),
    ("fitted minus fewer steps with UniPC", FITTED, UNIPC),
    ("our LESA minus fewer steps with UniPC", OURS_EVEN, UNIPC),
)


def verdict(difference: Difference) -> str:
    """Ahead or behind only where the whole interval is; otherwise level."""
    if difference.low_db is None or difference.high_db is None:
        return "unknown"
    return "ahead" if difference.low_db > 0 else "behind" if difference.high_db < 0 else "level"
