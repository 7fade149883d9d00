"""Writes the numbers of docs/explanation/scale.md, and draws its plot: `python -m benchmarks.scale_page`.

The numbers come from `examples/serving_simulation.py`, which reads the committed full-size results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.front_plots import THEMES, Theme, as_svg
from benchmarks.markup import ROOT, filled, table
from examples.serving_simulation import (
    ASSUMPTIONS,
    Assumptions,
    Point,
    Service,
    System,
    curve,
    point,
    read_assumptions,
)
from lesa_framework.files import write_bytes, write_text

PAGE, PLOTS = ROOT / "docs" / "explanation" / "scale.md", ROOT / "docs" / "images"
#: Loads that the page has a row for.
_SHOWN = (0.5, 0.8, 0.9)
_DRAWS = 2000


@dataclass(frozen=True)
class Curves:
    """A system and its latencies, uncached and cached, at every load."""

    system: System
    uncached: list[Point]
    cached: list[Point]


def measure(told: Assumptions, systems: Sequence[System]) -> list[Curves]:
    """Simulate every system."""
    return [Curves(each, curve(each.uncached, told), curve(each.cached, told)) for each in systems]


def sections(told: Assumptions, every: Sequence[Curves]) -> dict[str, str]:
    """What is between the markers of each name."""
    return {
        "assumptions": assumptions(told, every),
        "steps": steps([each.system for each in every], told),
        "latency": latency(every, told),
        "batches": batches(every[0].system, told),
    }


def assumptions(told: Assumptions, every: Sequence[Curves]) -> str:
    """What is taken as given, from the YAML, and how far apart repetitions are."""
    (device,) = {each.system.device for each in every}
    spread = max(at.spread for each in every for at in (*each.uncached, *each.cached))
    left_out = f"{told.first_left_out:.0%}"
    lines = (
        f"{told.replicas} GPUs ({device}), each with a whole model, and one queue for all: first come, first served.",
        "Requests arrive at random, independent of each other (Poisson). All want one picture or clip of 50 steps.",
        f"{told.requests:,} requests a run; the first {left_out} are not counted.",
        f"{told.repeats} runs with other arrivals, of which the middle one is shown.",
        f"Near its limit a queue is hard to foretell: the p95 of these runs lie up to {spread:.0%} apart.",
        f"Text encoding and decoding take {told.other_seconds:g} s: they were not measured, and would lower the gain.",
        "No network, no failures, no cancelled requests, no time between two runs.",
    )
    return "\n".join(f"- {line}" for line in lines)


def steps(systems: Sequence[System], told: Assumptions) -> str:
    """Step times, and what a GPU can do with them."""
    rows = []
    for each in systems:
        bare, cached = each.uncached, each.cached
        rows.append(
            [
                each.title, f"`{each.method}`", f"{cached.computed} of {cached.steps}", f"{bare.computed_s * 1e3:.0f}",
                f"{cached.predicted_s * 1e3:.1f}", f"{bare.capacity(told.replicas) * 60:.1f}",
                f"{cached.capacity(told.replicas) * 60:.1f}", f"{cached.capacity() / bare.capacity():.2f}x",
            ]
        )  # fmt: skip
    headings = [
        "model", "cache", "computed steps", "computed step, ms", "predicted step, ms",
        f"uncached, requests a minute on {told.replicas} GPUs", "cached", "ratio",
    ]  # fmt: skip
    return table(headings, rows, words=2)


def latency(every: Sequence[Curves], told: Assumptions) -> str:
    """Latencies of the uncached system, of the cached one with the same arrivals, and at the same load."""
    rows = []
    for each in every:
        for load in _SHOWN:
            place = told.loads.index(load)
            bare, own = each.uncached[place], each.cached[place]
            same = point(each.system.cached, bare.arrivals_per_minute / 60, told)
            rows.append(
                [
                    each.system.title.partition(",")[0], f"{load:.0%}", f"{bare.arrivals_per_minute:.1f}",
                    _seconds(bare), _seconds(same), f"{own.arrivals_per_minute:.1f}", _seconds(own),
                ]
            )  # fmt: skip
    headings = [
        "model", "load", "arrivals a minute", "uncached: p50, p95, p99 in s", "cached, same arrivals",
        "arrivals at the same load", "cached, same load",
    ]  # fmt: skip
    return table(headings, rows, words=1)


def batches(system: System, told: Assumptions) -> str:
    """What batches do to a fixed plan and to a gate, with cached step times."""
    rows, largest, rate = [], told.batches.largest, told.batches.arrivals_per_minute / 60
    for shared in told.batches.shared:
        fixed = replace(system.cached, shared=shared)
        for name, service, size in (
            ("one by one, fixed plan", fixed, 1),
            (f"up to {largest} start together, fixed plan", fixed, largest),
            (f"up to {largest}, join where all compute, fixed plan", replace(fixed, parts=fixed.computed), largest),
            (f"up to {largest} start together, a gate for each", replace(fixed, gated=True), largest),
        ):
            at = point(service, rate, told, largest=size)
            run, computed = _full(service, size)
            most = told.replicas * size / run
            # Full batches that are slower than what arrives stay full: the queue grows as long as the run lasts.
            grows = most < rate and at.batch > 0.9 * size
            waits = ["grows", "grows"] if grows else [f"{at.p50:.1f}", f"{at.p95:.1f}"]
            rows.append([f"{shared:.0%}", name, f"{computed:.1f}", f"{most * 60:.0f}", f"{at.batch:.1f}", *waits])
    headings = [
        "shared", "batches", "steps that a full batch computes", "requests a minute in full batches", "mean batch",
        "p50, s", "p95, s",
    ]  # fmt: skip
    return table(headings, rows, words=2)


def plot(every: Sequence[Curves], theme: Theme) -> Any:
    """A panel for each system: latency against arrivals, median and tail, uncached and cached."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.1), layout="constrained")
    for place, (axis, each) in enumerate(zip(figure.subplots(1, len(every)), every, strict=True)):
        for points, colour, name in ((each.uncached, theme.plain, "uncached"), (each.cached, theme.lesa, "cached")):
            rates = [at.arrivals_per_minute for at in points]
            axis.plot(rates, [at.p99 for at in points], color=colour, lw=1.4, ls=":", label=f"{name}, p99")
            axis.plot(rates, [at.p95 for at in points], color=colour, lw=2.0, label=f"{name}, p95")
            axis.plot(rates, [at.p50 for at in points], color=colour, lw=1.2, ls="--", label=f"{name}, p50")
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(_ticks(each))
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.minorticks_off()
        axis.set_xlim(left=0)
        axis.set_title(each.system.title.partition(",")[0], fontsize=10, loc="left", color=theme.ink)
        axis.set_xlabel("requests a minute", fontsize=8, color=theme.soft)
        axis.grid(color=theme.line, linewidth=0.6)
        axis.tick_params(length=0, labelsize=8)
        if not place:
            axis.set_ylabel("seconds to the picture", fontsize=8, color=theme.soft)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8, frameon=False,
        labelcolor=theme.ink,
    )  # fmt: skip
    return figure


def _ticks(each: Curves) -> Any:
    from matplotlib.ticker import FixedLocator

    low, high = each.cached[0].p50, each.uncached[-1].p99
    return FixedLocator([value for power in range(4) for value in (10**power, 3 * 10**power) if low / 2 < value < high])


def _seconds(at: Point) -> str:
    return f"{at.p50:.1f}, {at.p95:.1f}, {at.p99:.1f}"


def _full(service: Service, size: int) -> tuple[float, float]:
    """Seconds of the run of a full batch, and the steps that it computes, in the mean."""
    draw = np.random.default_rng(0)
    whole = replace(service, parts=1)
    seconds = float(np.mean([whole.seconds(size, draw) for _ in range(_DRAWS if service.gated else 1)]))
    run = seconds / (service.shared + (1 - service.shared) * size)
    return seconds, (run - service.steps * service.predicted_s) / (service.computed_s - service.predicted_s)


def main() -> None:
    """Rewrite the page and the plot."""
    told, systems = read_assumptions(ASSUMPTIONS)
    every = measure(told, systems)
    write_text(PAGE, filled(PAGE.read_text("utf-8"), sections(told, every)))
    write_plot(every, PLOTS)


def write_plot(every: Sequence[Curves], folder: Path) -> None:
    """Draw it, for light and for dark pages."""
    for theme in THEMES:
        write_bytes(folder / f"scale-{theme.name}.svg", as_svg(plot, every, theme))


if __name__ == "__main__":
    main()
