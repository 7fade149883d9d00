"""The command line: progress on standard error, tables on standard output, results into files."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.full_size.bench import STOPPED, Settings, results_path, run_case
from benchmarks.full_size.cases import CASES, tiny
from benchmarks.full_size.device import choose
from benchmarks.full_size.lineup import chosen, line_up
from benchmarks.full_size.table import bandwidth_table, floor_table, rows_table
from benchmarks.refusals import check_known, refusals
from lesa_framework.cli import console
from lesa_framework.errors import ConfigError
from lesa_framework.measure.results import Results

FOLDER = Path(__file__).resolve().parent.parent / "results"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@refusals()
def main(
    models: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(CASES)}; all when none is named.")] = None,
    tiny_models: Annotated[bool, typer.Option("--tiny", help="Tiny models instead, for a CPU.")] = False,
    methods: Annotated[
        list[str] | None, typer.Option(help="Only methods with such names, for example 'lesa-*'; repeatable.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each method is timed.")] = 3,
    budget: Annotated[float, typer.Option(min=0, help="Seconds for a model, after which no method begins.")] = 480.0,
    seed: Annotated[int, typer.Option(help="Of weights, prompts and noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder for results: benchmarks/results, and nowhere with --tiny.")
    ] = None,
) -> None:
    """Time every method at full size, with random bfloat16 weights made on the GPU."""
    check_known(models or [], CASES, "model")
    place = choose(device)
    if place.place.type != "cuda" and not tiny_models:
        raise ConfigError("The full size needs a GPU with 40 GB or more, and there is none. Add --tiny for a CPU.")
    command = shlex.join(["python", "-m", "benchmarks.full_size", *sys.argv[1:]])
    folder = FOLDER if out is None and not tiny_models else out
    failed = False
    for name in models or list(CASES):
        case = tiny(CASES[name]) if tiny_models else CASES[name]
        settings = Settings(rounds, budget, seed, tiny_models, command)
        path = None if folder is None else results_path(folder, case, place, tiny=tiny_models)
        results = run_case(case, chosen(line_up(case, seed), methods), place, settings, _say(name), path)
        failed |= not results.rows or any(note.startswith(STOPPED) for note in results.notes)
        show(results)
    raise typer.Exit(int(failed))


def show(results: Results) -> None:
    """Print the tables."""
    screen = console.results()
    screen.print(rows_table(results))
    if any(details.bandwidth for details in results.models[0].details.values()):
        screen.print(bandwidth_table(results))
    floors = floor_table(results)
    if floors is not None:
        screen.print(floors)
    for row in results.rows:
        if row.error or row.note:
            screen.print(f"- {row.name}: {row.error or row.note}")
    for note in results.notes:
        screen.print(f"- {note}")


def _say(name: str) -> Callable[[str], None]:
    return lambda text: console.announce(f"{name}: {text}")
