"""A benchmark's results on a terminal."""

from __future__ import annotations

import typer
from rich import box
from rich.table import Table

from lesa_framework.cli import console
from lesa_framework.cli.tables import number
from lesa_framework.measure.results import BenchResults, BenchRow, Kind, ranked


def show_bench(results: BenchResults, text: str, *, as_json: bool) -> None:
    """Print notes to standard error, and the results as tables or as their JSON `text` to standard output."""
    for remark in results.notes:
        console.note(remark)
    if as_json:
        typer.echo(text, nl=False)
        return
    for model in results.models:
        console.results().print(_table(results, model.model))


def _table(results: BenchResults, model: str) -> Table:
    rows = results.of_model(model)
    found = next(each for each in results.models if each.model == model)
    table = Table(box=box.SIMPLE_HEAD, title=f"{model}, {found.num_steps} steps, {len(found.pairs)} samples")
    table.add_column("method", no_wrap=True)
    for heading in ("target", "NFE", "PSNR dB", "SSIM", "s/sample", "speed-up", "cache", "GFLOP"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row.kind is Kind.UNCACHED:
            table.add_row(*_cells(row), style="dim")
    for target in results.targets(model):
        best = ranked(rows, target)[:1]
        at_target = [row for row in rows if row.target_nfe == target and row.kind is not Kind.UNCACHED]
        for row in sorted(at_target, key=lambda row: (not row.competes, -(row.psnr_db or 0.0))):
            table.add_row(*_cells(row), style="bold green" if row in best else "" if row.competes else "dim")
        table.add_section()
    return table


def _cells(row: BenchRow) -> list[str]:
    if row.error is not None:
        return [row.name, str(row.target_nfe), "failed", "", "", "", "", "", ""]
    return [
        row.name,
        str(row.target_nfe),
        number(row.nfe, 1),
        number(row.psnr_db, 2),
        number(row.ssim, 3),
        number(row.seconds, 3),
        "-" if row.speedup is None else f"{row.speedup:.2f}x",
        "-" if not row.cache_bytes else f"{row.cache_bytes / 2**20:.2f} MiB",
        number(None if row.flops is None else row.flops / 1e9, 1),
    ]
