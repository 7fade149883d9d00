"""The results for people: one row a method."""

from __future__ import annotations

from rich.table import Table

from benchmarks.full_size.results import Results, Row


def rows_table(results: Results) -> Table:
    """Time, where it went, and memory."""
    table = Table(title=f"{results.title}: {results.parameters / 1e9:.2f} B weights, {results.environment['device']}")
    table.add_column("method", no_wrap=True)
    for title in ("steps", "seconds", "speed-up", "prelude", "stack", "predictor", "head", "cache, MiB", "peak, GiB"):
        table.add_column(title, justify="right")
    for row in results.rows:
        cells = [row.name, "failed"] if row.error is not None else _cells(row)
        table.add_row(*cells, style="dim" if row.error is not None else None)
    return table


def _cells(row: Row) -> list[str]:
    parts = [f"{row.split_seconds[part]:.3f}" for part in ("prelude", "stack", "predictor", "head")]
    return [
        row.name,
        f"{_computed(row)} of {row.num_steps}",
        f"{row.seconds:.3f}",
        "" if row.speedup is None else f"{row.speedup:.2f}x",
        *parts,
        "" if row.cache_bytes is None else f"{row.cache_bytes / 2**20:.1f}",
        "" if row.peak_bytes is None else f"{row.peak_bytes / 2**30:.1f}",
    ]


def _computed(row: Row) -> str:
    if row.nfe is not None:
        return str(row.nfe)
    return "?" if row.work_steps is None else f"{row.work_steps:.1f}"


def bandwidth_table(results: Results) -> Table:
    """Predictors against copies."""
    table = Table(title="A prediction against a copy of as many bytes, in turns")
    table.add_column("predictor", no_wrap=True)
    for title in ("taps", "MiB moved", "ms", "GB/s", "copy, GB/s", "share"):
        table.add_column(title, justify="right")
    for each in results.bandwidth:
        table.add_row(
            each.name,
            str(each.taps),
            f"{(each.bytes_read + each.bytes_written) / 2**20:.1f}",
            f"{each.seconds * 1e3:.3f}",
            f"{each.bytes_per_second / 1e9:.0f}",
            f"{each.copy_bytes_per_second / 1e9:.0f}",
            f"{each.share_of_copy:.0%}",
        )
    return table
