"""The plots of the front page, each for light and for dark pages."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.front_rows import SYSTEMS, Line
from lesa_framework.files import write_bytes
from lesa_framework.measure.columns import plain_run
from lesa_framework.measure.results import Kind, Results, Row, ranked

T = TypeVar("T")

#: Families whose numbers are fitted to the model.
_LEARNED = ("lesa", "fitted")


@dataclass(frozen=True)
class Theme:
    """Colours: of the page, and of methods by who made them."""

    name: str
    ink: str
    soft: str
    line: str
    lesa: str
    ours: str
    peer: str
    plain: str

    def of(self, row: Row) -> str:
        """A method's colour."""
        if row.kind is Kind.CACHE:
            return self.lesa if row.family in _LEARNED else self.ours
        return self.peer if row.kind is Kind.PEER else self.plain


THEMES = (
    Theme("light", "#1c1d21", "#62646c", "#dddad2", "#0b6e6e", "#d08a5c", "#7f9fc9", "#9a9ca3"),
    Theme("dark", "#e9e7e2", "#a3a6ae", "#34383e", "#5cc8bd", "#b8724a", "#4d6c9a", "#6f727a"),
)
_LEGEND = (
    ("fitted to the model: LESA and fitted", "lesa"), ("other predictors of this framework", "ours"),
    ("other people's caches", "peer"), ("fewer steps, no cache", "plain"),
)  # fmt: skip


def write_plots(results: Results, lines: Sequence[Line], folder: Path) -> None:
    """Draw everything: `lines` for the front page, the results for the benchmark page."""
    for theme in THEMES:
        write_bytes(folder / f"front-{theme.name}.svg", as_svg(front, lines, theme))
        write_bytes(folder / f"quality-{theme.name}.svg", as_svg(quality, results, theme))
        write_bytes(folder / f"pareto-{theme.name}.svg", as_svg(pareto, results, theme))


def front(lines: Sequence[Line], theme: Theme) -> Any:
    """A panel for each system, a dot for each line: the further to the right, the closer to the uncached run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.36 * len(lines) + 1.2), layout="constrained")
    axes = figure.subplots(1, len(SYSTEMS), sharey=True)
    for number, (axis, system) in enumerate(zip(axes, SYSTEMS, strict=True)):
        dots = [(place, row) for place, line in enumerate(lines) if (row := line.rows[number]) and row.psnr_db]
        for place, row in dots:
            learned = row.family in _LEARNED
            axis.scatter(row.psnr_db, place, color=theme.of(row), s=90 if learned else 45, zorder=2)
            axis.annotate(
                f"{row.psnr_db:.1f}", (row.psnr_db, place), xytext=(8, 0), textcoords="offset points", va="center",
                fontsize=9, color=theme.ink, fontweight="bold" if learned else "normal",
            )  # fmt: skip
        axis.set_yticks(range(len(lines)), [line.label for line in lines], fontsize=9)
        axis.set_ylim(len(lines) - 0.5, -0.5)
        axis.margins(x=0.2)
        left, right = axis.get_xlim()
        axis.set_xlim(left, right + 0.1 * (right - left))  # the number beside the rightmost dot needs it
        axis.set_title(f"{system.title}: {system.nfe} of 50 steps", fontsize=10, loc="left", color=theme.ink)
        axis.set_xlabel("PSNR, dB: right is closer to the uncached run", fontsize=8, color=theme.soft)
        axis.grid(color=theme.line, linewidth=0.6)
        axis.tick_params(length=0, labelsize=8)
        axis.tick_params(axis="y", labelsize=9)
    return figure


def quality(results: Results, theme: Theme) -> Any:
    """A panel for each model and NFE: every method's PSNR as a bar, best above."""
    from matplotlib.figure import Figure

    panels = [(found.model, nfe) for found in results.models for nfe in results.nfes(found.model)]
    rivals = [ranked(results.of_model(model), nfe) for model, nfe in panels]
    columns = 2
    lines = -(-len(panels) // columns)
    tallest = max(len(rows) for rows in rivals)
    figure = Figure(figsize=(11, lines * (0.24 * tallest + 0.9) + 0.5), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for axis, (model, nfe), rows in zip(axes, panels, rivals, strict=False):
        steps = next(found.num_steps for found in results.models if found.model == model)
        places = range(len(rows))
        values = [row.psnr_db or 0.0 for row in rows]
        axis.barh(places, values, color=[theme.of(row) for row in rows], height=0.72)
        for place, row, value in zip(places, rows, values, strict=True):
            weight = "bold" if row.family in _LEARNED else "normal"
            axis.text(value + 0.3, place, f"{value:.1f}", va="center", fontsize=8, color=theme.ink, fontweight=weight)
        axis.set_yticks(places, [short(row) for row in rows], fontsize=8)
        axis.set_ylim(tallest - 0.4, -0.6)
        axis.set_xlim(0, max(values, default=1) * 1.12)
        axis.set_title(f"{model}: {nfe} of {steps} steps computed", fontsize=10, loc="left", color=theme.ink)
        axis.tick_params(length=0)
        axis.xaxis.set_visible(False)
    for axis in axes[len(panels) :]:
        axis.axis("off")
    _legend(figure, theme)
    return figure


def pareto(results: Results, theme: Theme) -> Any:
    """A line of panels for each model: PSNR against time and against memory, the best joined, numbered and named."""
    from matplotlib.figure import Figure

    sights: Sequence[tuple[str, Callable[[Row], float | None]]] = (
        ("seconds a sample", lambda row: row.seconds),
        ("cache, MiB (one batch)", lambda row: None if row.cache_bytes is None else row.cache_bytes / 2**20),
    )
    figure = Figure(figsize=(11, 3.2 * len(results.models) + 0.5), layout="constrained")
    axes = figure.subplots(len(results.models), len(sights), squeeze=False)
    for line, found in zip(axes, results.models, strict=True):
        rows = [row for row in results.of_model(found.model) if row.competes]
        for axis, (what, of) in zip(line, sights, strict=True):
            points = sorted((of(row) or 0.0, -(row.psnr_db or 0.0), row.name, row) for row in rows)
            front = _front([(x, -minus, row) for x, minus, _, row in points])
            axis.plot([x for x, _, _ in front], [y for _, y, _ in front], color=theme.soft, linewidth=1, zorder=1)
            for x, minus, _, row in points:
                axis.scatter(x, -minus, color=theme.of(row), s=26, zorder=2)
            for number, (x, y, _) in enumerate(front, start=1):
                axis.annotate(
                    f"{number}", (x, y), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=7,
                    color=theme.ink,
                )  # fmt: skip
            names = "\n".join(f"{number}  {short(row)}" for number, (_, _, row) in enumerate(front, start=1))
            axis.text(0.98, 0.04, names, transform=axis.transAxes, fontsize=7, color=theme.ink, ha="right")
            axis.margins(x=0.08, y=0.12)
            axis.set_xlabel(what, fontsize=8, color=theme.soft)
            axis.set_ylabel("PSNR, dB", fontsize=8, color=theme.soft)
            axis.tick_params(labelsize=8)
            axis.grid(color=theme.line, linewidth=0.6)
        line[0].set_title(found.model, fontsize=10, loc="left", color=theme.ink)
    _legend(figure, theme)
    return figure


def short(row: Row) -> str:
    """A row's name without what its panel says already: model and NFE."""
    if row.kind is Kind.FEWER_STEPS:
        return plain_run(row)
    name = row.name.removesuffix(f"_{row.nfe}")
    words = name.split("-")
    return "-".join(words[words.index(row.family) :]) if row.family in words else name


def _front(points: Sequence[tuple[float, float, Row]]) -> list[tuple[float, float, Row]]:
    """Those that nothing cheaper is as good as; points come cheapest first."""
    front: list[tuple[float, float, Row]] = []
    for x, y, row in points:
        if not front or y > front[-1][1]:
            front.append((x, y, row))
    return front


def _legend(figure: Any, theme: Theme) -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[Patch(color=getattr(theme, colour), label=label) for label, colour in _LEGEND],
        loc="outside lower center", ncols=len(_LEGEND), frameon=False, fontsize=9, labelcolor=theme.ink,
    )  # fmt: skip


def as_svg(draw: Callable[[T, Theme], Any], shown: T, theme: Theme) -> bytes:
    """A plot as SVG, without a background, so that the page's shows; the same bytes for the same results."""
    import matplotlib as mpl

    style = {
        "svg.hashsalt": "lesa", "axes.facecolor": "none", "figure.facecolor": "none", "text.color": theme.ink,
        "axes.edgecolor": theme.line, "xtick.color": theme.soft, "ytick.color": theme.ink, "axes.spines.top": False,
        "axes.spines.right": False,
    }  # fmt: skip
    with mpl.rc_context(style):
        buffer = io.BytesIO()
        draw(shown, theme).savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
