"""Tables for terminals, and results as a command prints them."""

from __future__ import annotations

import typer
from rich import box
from rich.table import Table

from lesa_framework.cli import console
from lesa_framework.measure.rows import UNCACHED, Results, best_per_nfe


def rows_table(results: Results) -> Table:
    """The rows of a comparison; the best PSNR among the methods of an NFE is bold."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{results.model}, {results.num_steps} steps, {len(results.pairs)} images")
    table.add_column("method", no_wrap=True)
    for heading in ("NFE", "PSNR dB", "SSIM", "rel. L2", "caption", "s/image", "speed-up", "cache"):
        table.add_column(heading, justify="right", no_wrap=True)
    winners = best_per_nfe(results.rows)
    for row in results.rows:
        table.add_row(
            row.name,
            str(row.nfe),
            number(row.psnr_db, 2),
            number(row.ssim, 3),
            number(row.rel_l2, 3),
            number(row.caption_score, 3),
            f"{row.seconds:.3f}",
            f"{row.speedup:.2f}x",
            f"{row.cache_bytes / 2**20:.2f} MiB" if row.cache_bytes else "-",
            style="bold green" if row.name in winners else "dim" if row.name == UNCACHED else "",
        )
    return table


def show_results(results: Results, text: str, *, as_json: bool) -> None:
    """Print notes to standard error, and the results as a table or as their JSON `text` to standard output."""
    for remark in results.notes:
        console.note(remark)
    if as_json:
        typer.echo(text, nl=False)
    else:
        console.results().print(rows_table(results))


def number(value: float | None, digits: int) -> str:
    """A cell: so many decimals, or a dash where nothing was measured."""
    return "-" if value is None else f"{value:.{digits}f}"
