"""Draws the pictures of docs/explanation/concepts.md and method.md: `python -m benchmarks.docs_pictures`.

What a tap is, what a schedule does to a trajectory (measured by `benchmarks.trajectory`), where the time goes (from the
committed full-size results), and what a fitted interval is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import trajectory
from benchmarks.front_page import PLOTS
from benchmarks.front_plots import THEMES, Theme, as_svg
from benchmarks.front_rows import SYSTEMS, System
from benchmarks.speed_page import FILES
from lesa_framework.files import write_bytes
from lesa_framework.measure.results_file import read_results

Point = tuple[float, float] | np.ndarray

#: The uncached trajectory of the picture of an interval: control points of a cubic curve.
_CONTROL = np.array([(0.0, 0.0), (2.2, 2.6), (5.2, 2.9), (8.0, 0.4)])
#: Where on the curve each step is; the first and the last one are computed.
_STEPS = np.linspace(0.18, 0.86, 6)


def main() -> None:
    """Draw all of them, for light and for dark pages."""
    for theme in THEMES:
        for name, content in pictures(theme).items():
            write_bytes(PLOTS / f"{name}-{theme.name}.svg", content)


def pictures(theme: Theme) -> dict[str, bytes]:
    """The pictures' files by name."""
    runs = json.loads(trajectory.FILE.read_text("utf-8"))["runs"]
    return {
        "tap": as_svg(lambda _, shown: tap(shown), None, theme),
        "trajectory": as_svg(followed, runs, theme),
        "time": as_svg(lambda _, shown: spent(shown), None, theme),
        "interval": as_svg(lambda _, shown: interval(shown), None, theme),
    }


def tap(theme: Theme) -> Figure:
    """A model from its inputs to its output, the three taps, and the way of a predicted step."""
    figure = Figure(figsize=(8.2, 2.6), layout="constrained")
    axes = figure.add_subplot()
    axes.axis("off")
    axes.set_xlim(0, 15.4)
    axes.set_ylim(0, 4.4)
    boxes = ((1.9, 2.0, "prelude", "embeddings"), (4.6, 3.4, "blocks", "nearly all of the work"),
             (9.4, 1.8, "norm", ""), (12.2, 1.8, "projection", ""))  # fmt: skip
    for left, width, name, about in boxes:
        colour = theme.plain if name == "blocks" else theme.line
        axes.add_patch(_box(left, width, theme, colour))
        axes.text(
            left + width / 2, 3.0 + (0.18 if about else 0), name, color=theme.ink, ha="center", va="center", fontsize=9
        )
        if about:
            axes.text(left + width / 2, 2.66, about, color=theme.soft, ha="center", va="center", fontsize=7.5)
    for start, end in ((0.9, 1.9), (3.9, 4.6), (8.0, 9.4), (11.2, 12.2), (14.0, 14.7)):
        _arrow(axes, (start, 2.95), (end, 2.95), theme.soft)
    axes.text(0.45, 2.95, "latent,\nprompt", color=theme.ink, ha="center", va="center", fontsize=8)
    axes.text(15.05, 2.95, "velocity", color=theme.ink, ha="center", va="center", fontsize=8)
    for x, name in ((8.7, "pre_head"), (11.7, "post_norm"), (14.35, "output")):
        axes.plot([x, x], [2.95, 3.75], color=theme.lesa, lw=1.4)
        axes.scatter([x], [2.95], s=26, color=theme.lesa, zorder=4)
        axes.text(x, 3.95, name, color=theme.lesa, ha="center", va="center", fontsize=9, family="monospace")
    axes.plot([4.25, 4.25, 6.0], [2.95, 1.0, 1.0], color=theme.lesa, lw=1.6, ls=(0, (4, 2)))
    axes.add_patch(_box(6.0, 2.0, theme, theme.lesa, low=0.7, high=0.62))
    axes.text(7.0, 1.0, "predictor", color=theme.lesa, ha="center", va="center", fontsize=9)
    axes.plot([8.0, 8.7], [1.0, 1.0], color=theme.lesa, lw=1.6, ls=(0, (4, 2)))
    _arrow(axes, (8.7, 1.0), (8.7, 2.85), theme.lesa)
    axes.text(
        7.0, 0.35, "a predicted step passes the blocks by", color=theme.soft, ha="center", va="center", fontsize=8
    )
    return figure


def followed(runs: Mapping[str, Any], theme: Theme) -> Figure:
    """The trajectories in a plane, and how far each step is from the uncached run's."""
    figure = Figure(figsize=(8.2, 3.2), layout="constrained")
    plane, distance = figure.subplots(1, 2)
    colours = (theme.ink, theme.peer, theme.lesa)
    for (name, run), colour in zip(runs.items(), colours, strict=True):
        computed = [step for step, letter in enumerate(run["plan"]) if letter == "F"]
        across, up = zip(*run["points"], strict=True)
        plane.plot(across, up, color=colour, lw=1.4, label=name)
        if name == "uncached":
            continue
        distance.plot(run["away"], color=colour, lw=1.4, label=name)
        for axis, points in ((plane, run["points"]), (distance, list(enumerate(run["away"])))):
            axis.scatter(*zip(*(points[step] for step in computed), strict=True), s=20, color=colour, zorder=4)
    plane.set_title("the latent, from noise (left) to picture", fontsize=9, loc="left", color=theme.ink)
    distance.set_title("distance from the uncached run", fontsize=9, loc="left", color=theme.ink)
    distance.set_xlabel("step; a dot is a computed one", fontsize=8, color=theme.soft)
    distance.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    distance.set_ylim(bottom=0)
    plane.set_xticks([])
    plane.set_yticks([])
    distance.tick_params(labelsize=8, colors=theme.soft)
    distance.grid(color=theme.line, linewidth=0.6)
    legend = plane.legend(fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_color(theme.ink)
    return figure


def spent(theme: Theme) -> Figure:
    """Seconds of an uncached and of a cached run at full size, by part."""
    figure = Figure(figsize=(8.2, 2.5), layout="constrained")
    for axes, system in zip(figure.subplots(1, len(SYSTEMS)), SYSTEMS, strict=True):
        _bars(axes, system, theme)
    handles = [(theme.plain, "blocks"), (theme.lesa, "predictor and checks"), (theme.peer, "all else")]
    figure.legend(
        [Axes.bar(figure.axes[0], [0], [0], color=colour) for colour, _ in handles], [name for _, name in handles],
        loc="outside lower center", ncols=3, fontsize=8, frameon=False, labelcolor=theme.ink,
    )  # fmt: skip
    return figure


def _bars(axes: Axes, system: System, theme: Theme) -> None:
    results = read_results(FILES[system.backbone])
    (found,) = results.models
    cached = next(row for row in results.rows if row.family == "lesa" and row.nfe == system.nfe)
    for place, (name, label) in enumerate(((cached.name, f"{system.nfe} of 50"), ("uncached", "uncached"))):
        parts = found.details[name].split_seconds
        left = 0.0
        others = sum(parts.values()) - parts["stack"] - parts["predictor"]
        for value, colour in ((parts["stack"], theme.plain), (parts["predictor"], theme.lesa), (others, theme.peer)):
            axes.barh([place], [value], left=left, height=0.6, color=colour)
            left += value
        axes.text(left, place, f" {left:.1f} s", va="center", fontsize=8, color=theme.ink)
        axes.text(0, place + 0.42, label, va="center", fontsize=8, color=theme.soft)
    axes.set_title(system.title, fontsize=9, loc="left", color=theme.ink)
    axes.set_xlim(0, 1.25 * sum(found.details["uncached"].split_seconds.values()))
    axes.set_ylim(-0.5, 1.7)
    axes.axis("off")


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
    _arrow(axes, start, held, theme.peer, lw=1.6, shrink=4)
    _arrow(axes, start, end, theme.lesa, lw=1.6, shrink=4)
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


def _box(left: float, width: float, theme: Theme, colour: str, *, low: float = 2.35, high: float = 1.2) -> Any:
    from matplotlib.patches import FancyBboxPatch

    filled = colour if colour in {theme.line, theme.plain} else "none"
    return FancyBboxPatch(
        (left, low), width, high, boxstyle="round,pad=0,rounding_size=0.15", facecolor=filled, edgecolor=colour,
        alpha=0.45 if filled != "none" else 1.0, lw=1.4,
    )  # fmt: skip


def _arrow(axes: Axes, start: Point, end: Point, colour: str, *, lw: float = 1.4, shrink: float = 2) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour, "lw": lw, "shrinkB": shrink})


if __name__ == "__main__":
    main()
