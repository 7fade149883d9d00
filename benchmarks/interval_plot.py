"""Draws what a fitted interval is, for docs/explanation/method.md: `python -m benchmarks.interval_plot`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.front_plots import THEMES, Theme, as_svg
from lesa_framework.files import write_bytes

_DOCS = Path(__file__).parent.parent / "docs" / "images"
#: The uncached trajectory: control points of a cubic curve.
_CONTROL = np.array([(0.0, 0.0), (2.2, 2.6), (5.2, 2.9), (8.0, 0.4)])
#: Where on the curve each step is; the first and the last one are computed.
_STEPS = np.linspace(0.18, 0.86, 6)


def main() -> None:
    """Write both pictures."""
    for theme in THEMES:
        write_bytes(_DOCS / f"interval-{theme.name}.svg", as_svg(lambda _, shown: interval(shown), None, theme))


def interval(theme: Theme) -> Figure:
    """An uncached trajectory, and an interval of a cached run that began beside it."""
    figure = Figure(figsize=(7.4, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.axis("off")
    axes.set_aspect("equal")
    path = _curve(np.linspace(0, 1, 200))
    axes.plot(*path.T, color=theme.plain, lw=1.6)
    true = _curve(_STEPS)
    axes.scatter(*true.T, s=16, color=theme.plain, zorder=3)
    start, end = _beside(true[0], 0.25, -0.75), true[-1]
    slope = _curve(_STEPS[:1] + 0.02)[0] - true[0]
    held = start + 0.62 * slope / np.linalg.norm(slope) * np.linalg.norm(end - start)
    _arrow(axes, start, held, theme.peer)
    _arrow(axes, start, end, theme.lesa)
    moves = start + (end - start) * ((_STEPS - _STEPS[0]) / (_STEPS[-1] - _STEPS[0]))[1:-1, None]
    axes.scatter(*moves.T, s=30, facecolor="none", edgecolor=theme.lesa, lw=1.4, zorder=4)
    axes.scatter(*start, s=46, color=theme.lesa, zorder=4)
    axes.scatter(*end, s=46, color=theme.lesa, zorder=4)
    for where, text, colour, align in (
        (_beside(path[62], -0.1, 0.25), "uncached trajectory x*", theme.soft, "right"),
        (_beside(start, 0.05, -0.42), "xᵢ, a computed step;\nthe latent has drifted", theme.ink, "left"),
        (_beside(held, 0.12, 0.0), "reuse: the newest\nvelocity is held", theme.peer, "left"),
        (_beside(end, 0.3, 0.0), "x*ₑ, the next\ncomputed step", theme.ink, "left"),
        (_beside(moves[2], 0.0, -0.45), "predicted steps, one velocity", theme.lesa, "center"),
    ):
        axes.annotate(text, where, color=colour, fontsize=9, ha=align, va="center")
    axes.set_xlim(-0.4, 9.6)
    axes.set_ylim(-0.3, 3.4)
    return figure


def _beside(point: np.ndarray, right: float, up: float) -> np.ndarray:
    return point + np.array([right, up])


def _curve(t: np.ndarray) -> np.ndarray:
    t = np.asarray(t)[:, None]
    a, b, c, d = _CONTROL
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def _arrow(axes: Axes, start: np.ndarray, end: np.ndarray, colour: str) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.6, "shrinkB": 4})


if __name__ == "__main__":
    main()
