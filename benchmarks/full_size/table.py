"""The results as tables: one row for each method."""

from __future__ import annotations

from rich.table import Table

from benchmarks.full_size.floor import NAME
from benchmarks.full_size.stopwatch import PARTS
from benchmarks.markup import number
from lesa_framework.measure.results import ModelResults, Results, Row


def rows_table(results: Results) -> Table:
    """Time, its parts, and memory."""
    (model,) = results.models
    size = model.properties["parameters"] / 1e9
    table = Table(title=f"{results.title}: {size:.2f} B weights, {results.environment['device']}")
    table.add_column("method", no_wrap=True)
    for title in ("NFE", "work", "seconds", "speed-up", *PARTS, "cache, MiB", "peak, GiB"):
        table.add_column(title, justify="right")
    for row in results.rows:
        cells = [row.name, "failed"] if row.error is not None else _cells(row, model)
        table.add_row(*cells, style="dim" if row.error is not None else None)
    return table


def _cells(row: Row, model: ModelResults) -> list[str]:
    details, weights = model.details[row.name], model.properties["weights_bytes"]
    return [
        row.name,
        f"{row.nfe} of {row.num_steps}",
        number(row.work, 1),
        number(row.seconds, 3),
        "" if row.speedup is None else f"{row.speedup:.2f}x",
        *(number(details.split_seconds[part], 3) for part in PARTS),
        "" if row.cache_bytes is None else f"{row.cache_bytes / 2**20:.1f}",
        "" if row.peak_bytes is None else f"{(row.peak_bytes + weights) / 2**30:.1f}",
    ]


def bandwidth_table(results: Results) -> Table:
    """Predictors against copies."""
    table = Table(title="A prediction against a copy of as many bytes, in turns")
    table.add_column("predictor", no_wrap=True)
    for title in ("features", "MiB moved", "ms", "GB/s", "copy, GB/s", "share"):
        table.add_column(title, justify="right")
    for name, details in results.models[0].details.items():
        each = details.bandwidth
        if each is not None:
            table.add_row(
                name,
                str(each.taps),
                f"{(each.bytes_read + each.bytes_written) / 2**20:.1f}",
                f"{each.seconds * 1e3:.3f}",
                f"{each.bytes_per_second / 1e9:.0f}",
                f"{each.copy_bytes_per_second / 1e9:.0f}",
                f"{each.share_of_copy:.0%}",
            )
    return table


def floor_table(results: Results) -> Table | None:
    """Predicted calls against those of the model with empty block lists; None where that was not measured."""
    details = results.models[0].details
    floor = next((details[row.name].predicted_call for row in results.rows if row.family == NAME and not row.error), {})
    least = sum(floor.values())
    if not least:
        return None
    table = Table(title="A predicted call against the same model with empty block lists and nothing attached")
    table.add_column("method", no_wrap=True)
    for title in ("ms", "of it predictor", "over the floor"):
        table.add_column(title, justify="right")
    for name, each in details.items():
        took = sum(each.predicted_call.values())
        if took:
            part = each.predicted_call["predictor"]
            table.add_row(name, f"{took * 1e3:.3f}", f"{part * 1e3:.3f}", f"{took / least:.3f}x")
    return table
