"""How `lesa eval`, `lesa demo` and `lesa bench` deliver results: files, and tables on a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from lesa_framework.cli import console, stopping
from lesa_framework.cli.before_loading import say_before_loading
from lesa_framework.cli.outlook import Outlook
from lesa_framework.errors import LesaError
from lesa_framework.files import write_text
from lesa_framework.measure.columns import SPEEDUP, Column, columns, explained
from lesa_framework.measure.page.render import write_page
from lesa_framework.measure.probing import WarmUp
from lesa_framework.measure.results import ALWAYS, Kind, ModelResults, Results, Row
from lesa_framework.measure.runner import run_bench
from lesa_framework.measure.tasks import Benchmark
from lesa_framework.processes import ALONE, World
from lesa_framework.words import amount

#: The first columns to drop where there is no room, and the last ones.
_LEAST, _LAST = ("peak memory", "FLOPs"), ("cache", "work")
_UNLIMITED = 1000
_STOPPED = "stopped; nothing is kept, and the same command starts afresh. `lesa bench` measures the same and resumes."
#: How long a process waits for another's batches.
PATIENCE = timedelta(days=1)
#: Some of the page's signs are missing on some terminals.
_PLAIN = str.maketrans({"–": "-", "−": "-", "×": "x"})
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def measured(bench: Benchmark, device: str | None, look: Outlook, world: World = ALONE) -> Results:
    """Compare configurations without a file: each is warmed up and then timed, with one progress bar for all.

    Args:
        bench: What to measure, on one model.
        device: Where to; None chooses.
        look: Says what it will need.
        world: The processes that measure together.
    """
    (task,) = bench.tasks
    console.announce(
        f"comparing {amount(len(task.caches), 'cache')} with the uncached run and with fewer steps: "
        f"{amount(len(task.pairs), 'sample')} each, {task.settings.num_steps} steps, on {task.source.name}."
    )
    say_before_loading([task.source])
    with (
        stopping.advice_when_stopped(lambda: _STOPPED),
        console.StepProgress("loading") as progress,
    ):
        look.screen = progress.screen
        return run_bench(
            bench, lambda _: nullcontext(progress), prober=WarmUp(), device=device, world=world, look=look
        )  # fmt: skip


def few_batches(bench: Benchmark, world: World) -> None:
    """Tell where there are fewer batches than processes, because what is shared out are whole batches."""
    for task in bench.tasks:
        batches = -(-len(task.pairs) // task.spec.batch)
        if batches < world.size:
            console.note(
                f"{task.source.name}: {batches} batch{'es' * (batches != 1)} for {world.size} processes, which leaves "
                "some without samples. Take smaller batches or fewer processes."
            )


def deliver(
    results: Results, out: Path | None, report: Path | None, more: Sequence[Path] = (), *, as_json: bool
) -> None:
    """Write the results and their page, and show them: notes and names of files, `more` too, to standard error.

    Standard output gets tables, or with `as_json` what the results file holds, in ASCII: a pipe may have any encoding.
    """
    text = results.model_dump_json(indent=1) + "\n"
    if out is not None:
        write_text(out, text)
    if report is not None:
        write_text(report, write_page(results))
    for remark in results.notes:
        console.note(remark)
    if as_json:
        typer.echo(_NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text), nl=False)
    else:
        _show(results, is_kept=out is not None)
    *others, last = [str(path) for path in (out, report, *more) if path is not None] or [""]
    if last:
        names = f"{', '.join(others)} and {last}" if others else last
        console.announce(f"wrote {names}")


def require_all(results: Results, advice: str = "") -> None:
    """End the command with an error if a method failed; everything that was measured has been shown by then.

    Args:
        results: What was measured.
        advice: Said after what failed.

    Raises:
        LesaError: A method failed.
    """
    failed = [f"{row.name}: {row.error}" for row in results.rows if row.error is not None]
    if failed:
        raise LesaError("\n".join([*failed, *([advice] if advice else [])]))


def _show(results: Results, *, is_kept: bool) -> None:
    """The tables, without the columns that there is no room for; below, which these are and what is not obvious."""
    shown, out = columns(results), console.results()
    for heading in _dispensable(results):
        if all(_width(_table(results, model, shown)) <= out.width for model in results.models):
            break
        shown = [column for column in shown if column.heading != heading]
    for model in results.models:
        out.print(_table(results, model, shown))
    kept = {column.heading for column in shown}
    left_out = [column.heading for column in columns(results) if column.heading not in kept]
    if left_out:
        where = "They are in the results file" if is_kept else "--json prints them"
        said = f"  left out, as there is no room: {', '.join(left_out)}. {where}, and a wider terminal shows them."
        out.print(said, style="dim", soft_wrap=True)
    if any(row.speedup is not None for row in results.rows if row.kind is not Kind.UNCACHED):
        out.print(f"  speed-up: {SPEEDUP}.", style="dim", soft_wrap=True)
    for column, info in explained(results):
        dropped = "" if column.heading in kept else f" {_uncached(results, column)}"
        out.print(f"  {info.heading}: {info.summary}{dropped}", style="dim", soft_wrap=True)


def _uncached(results: Results, column: Column) -> str:
    """What a column that there is no room for says of the uncached runs."""
    found = [f"{column.text(row)} for {row.model}" for row in results.rows if row.kind is Kind.UNCACHED]
    return f"A wider terminal shows it; uncached it is {', '.join(found)}."


def _dispensable(results: Results) -> list[str]:
    """Headings of the columns to drop where there is no room, one after the other.

    Never the PSNR; after it the model's own score stays longest, because it alone tells something of the uncached run.
    """
    known = [info.heading for name, info in results.metrics.items() if name in ALWAYS]
    own, *others = [info.heading for name, info in results.metrics.items() if name not in ALWAYS] or [""]
    return [*_LEAST, *others[::-1], *known[:0:-1], *_LAST, own]


def _width(table: Table) -> int:
    return Console(width=_UNLIMITED, markup=False).measure(table).maximum


def _table(results: Results, found: ModelResults, shown: Sequence[Column]) -> Table:
    """The uncached run, then by NFE the rows that compete, best first and in bold, then the others, dimmed."""
    rows, best = results.in_order(found.model), results.best(found.model)
    samples = f", {amount(len(found.pairs), 'sample')}" if found.pairs else ""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{found.model}, {found.num_steps} steps{samples}")
    table.add_column("method", no_wrap=True)
    for column in shown:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        last = row.kind is not Kind.UNCACHED and (following is None or following.nfe != row.nfe)
        dimmed = row.kind is Kind.UNCACHED or row.error is not None or row.over
        style = "bold green" if row.name in best else "dim" if dimmed else ""
        table.add_row(*_cells(row, shown), style=style, end_section=last)
    return table


def _cells(row: Row, shown: Sequence[Column]) -> list[str]:
    if row.error is not None:
        return [row.name, shown[0].text(row), "failed"]
    return [row.name, *(column.text(row).translate(_PLAIN) for column in shown)]
