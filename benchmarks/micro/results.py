"""Parts as a results file, and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.table import Table

from benchmarks.full_size.device import Device
from benchmarks.micro.clock import told
from benchmarks.micro.turns import Line, Part, interval_name
from lesa_framework.measure.details import Details, MetricInfo
from lesa_framework.measure.environment import environment
from lesa_framework.measure.results import Kind, ModelResults, Results, Row

TITLE = "Micro benchmark"
#: The median ratio, and the ends of its interval.
RATIO, LOW, HIGH = "time_ratio", "time_ratio_low", "time_ratio_high"
METRICS = {
    RATIO: MetricInfo(
        heading="time ratio",
        summary="Median over the turns of its time divided by that of the first row.",
        higher_is_better=False,
    ),
    LOW: MetricInfo(
        heading="from",
        summary="Lower end of the ratio's 95 % interval, by ranks; the least ratio of fewer than six turns.",
        higher_is_better=False,
    ),
    HIGH: MetricInfo(
        heading="to",
        summary="Upper end of that interval; the greatest ratio of fewer than six turns.",
        higher_is_better=False,
    ),
}


def results_of(parts: Sequence[Part], device: Device, command: str, notes: Sequence[str] = ()) -> Results:
    """The results file. What a part compares is a model there, and what it is compared with the uncached row.

    Args:
        parts: What was timed.
        device: Where, and with which clock.
        command: The command line, for the record.
        notes: What a reader should know.
    """
    return Results(
        title=TITLE,
        rows=[row_of(part, line) for part in parts for line in part.lines],
        models=[_model(part) for part in parts],
        metrics=METRICS,
        spec={"clock": told(device)},
        command=command,
        environment=environment(device.place, device.dtype),
        notes=[*notes, *(f"{part.name}: {note}" for part in parts for note in part.notes)],
    )


def row_of(part: Part, line: Line) -> Row:
    """A line as a row."""
    is_first, found = line is part.lines[0], part.ratio(line)
    kind = Kind.UNCACHED if is_first else Kind.PEER if line.peer else Kind.CACHE
    ratios = dict.fromkeys(METRICS) if is_first else {RATIO: found.median, LOW: found.low, HIGH: found.high}
    return Row(
        model=part.name, name=line.name, kind=kind, family=line.family or line.name,
        nfe=part.nfe, num_steps=part.num_steps, seconds=median(line.seconds), settings=dict(line.settings),
        note=part.summary if is_first else "", **ratios,
    )  # fmt: skip


def _model(part: Part) -> ModelResults:
    details = {line.name: Details(seconds=list(line.seconds)) for line in part.lines}
    return ModelResults(
        model=part.name,
        num_steps=part.num_steps,
        batch=part.batch,
        properties={"compares": part.summary, "turns": len(part.lines[0].seconds)},
        details=details,
    )


def table_of(part: Part) -> Table:
    """A part's medians in milliseconds and its ratios, with intervals."""
    turns = len(part.lines[0].seconds)
    table = Table(title=f"{part.name}, {turns} turns", caption=part.summary)
    table.add_column("", no_wrap=True)
    for heading in ("ms", "time ratio", interval_name(turns)):
        table.add_column(heading, justify="right")
    for line in part.lines:
        ratio = part.ratio(line)
        shown = ("1", "") if line is part.lines[0] else (f"{ratio.median:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}")
        table.add_row(line.name, f"{1e3 * median(line.seconds):.3f}", *shown)
    return table
