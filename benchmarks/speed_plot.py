"""The plot of docs/reference/speed.md, for light and for dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.front_plots import THEMES, Theme, as_svg
from lesa_framework.files import write_bytes
from lesa_framework.measure.results import Kind, Results, Row


def write_plot(every: Sequence[Results], folder: Path) -> None:
    """Draw it."""
    for theme in THEMES:
        write_bytes(folder / f"speed-{theme.name}.svg", as_svg(speed, every, theme))


def speed(every: Sequence[Results], theme: Theme) -> Any:
    """A panel for each model: time ratios as bars, and the ratio of computed steps as a line that they can reach."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.6), layout="constrained")
    for axis, results in zip(figure.subplots(1, len(every)), every, strict=True):
        rows = _shown(results)
        axis.barh([row.name for row in rows], [row.speedup for row in rows], color=[theme.of(row) for row in rows])
        ratio = results.models[0].num_steps / rows[0].nfe
        for place, row in enumerate(rows):
            axis.text(ratio * 1.04, place, f"{row.speedup:.2f}x", va="center", fontsize=8, color=theme.ink)
        axis.set_xlim(0, ratio * 1.2)
        axis.axvline(ratio, color=theme.ink, linestyle=":", linewidth=1.2)
        axis.set_title(f"{results.title.partition(',')[0]}: NFE ratio {ratio:.2f}x", fontsize=9, loc="left")
        axis.set_xlabel("times as fast", fontsize=8, color=theme.soft)
        axis.tick_params(labelsize=8, length=0)
    return figure


def _shown(results: Results) -> list[Row]:
    """Our methods and the plain run at the first NFE, and peers that did the same work; the fastest on top."""
    first = next(row for row in results.rows if row.kind is Kind.CACHE)
    near = [row for row in results.rows if row.nfe == first.nfe and row.work is not None]
    return sorted((row for row in near if abs(row.work - row.nfe) < 0.05), key=lambda row: row.speedup or 0.0)
