"""The command line: progress on standard error, tables on standard output, results into a file."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.full_size.device import Device
from benchmarks.micro.clock import clock, told
from benchmarks.micro.filters import filters
from benchmarks.micro.overhead import attaching, overhead
from benchmarks.micro.results import results_of, table_of
from benchmarks.micro.stages import bundled
from benchmarks.micro.startup import startup
from benchmarks.micro.steps import Peers, look_for_peers, steps, warm_up
from benchmarks.micro.turns import Part
from benchmarks.refusals import check_known, refusals
from lesa_framework.cli import console
from lesa_framework.files import write_text

#: In (device, turns, says what is done): makes parts.
Measure = Callable[[Device, int, Callable[[str], None]], list[Part]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _steps(device: Device, rounds: int, say: Callable[[str], None]) -> list[Part]:
    return steps(_stage(device, 1), "bundled FLUX", rounds, say, _warm(device, say))


def _batches(device: Device, rounds: int, say: Callable[[str], None]) -> list[Part]:
    few = max(1, rounds // 2)
    return steps(_stage(device, 8), "bundled FLUX, batch 8", few, say, _warm(device, say))


def _attaching(device: Device, rounds: int, say: Callable[[str], None]) -> list[Part]:  # noqa: ARG001 - it is short
    return attaching(_stage(device, 1), "bundled FLUX", 2 * rounds)


_stage = cache(bundled)


@cache
def _warm(device: Device, say: Callable[[str], None]) -> Peers:
    """The peers, after everything has run once."""
    say("looking for peers' settings")
    peers = look_for_peers(_stage(device, 1))
    warm_up(_stage(device, 1), peers)
    return peers


PARTS: dict[str, Measure] = {
    "step": _steps,
    "batch": _batches,
    "filter": lambda device, rounds, _: filters(device, rounds),
    "overhead": lambda device, rounds, _: overhead(device, 2 * rounds),
    "attach": _attaching,
    "start": lambda _device, rounds, _say: startup(max(1, rounds // 3)),
}


@app.command()
@refusals()
def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(PARTS)}; all when none is named.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How many turns everything takes; long parts take fewer.")] = 7,
    device: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    note: Annotated[str, typer.Option(help="What a reader of the results should know, such as who else works.")] = "",
    out: Annotated[Path | None, typer.Option(help="File for the results.")] = None,
) -> None:
    """Time what our own code costs, each part against its floor, in turns. Under two minutes on a quiet machine."""
    check_known(parts or [], PARTS, "part")
    place, found = clock(device), list[Part]()
    command = shlex.join(["python", "-m", "benchmarks.micro", *sys.argv[1:]])
    screen = console.results()
    console.announce(f"seconds by {told(place)}, {torch.get_num_threads()} threads")
    for name in parts or list(PARTS):
        console.announce(name)
        measured = PARTS[name](place, rounds, console.announce)
        found += measured
        for part in measured:
            screen.print(table_of(part))
            for remark in part.notes:
                screen.print(f"- {remark}")
        if out is not None:  # after each part, so that a run that is stopped leaves what it had
            results = results_of(found, place, command, [note] if note else [])
            write_text(out, results.model_dump_json(indent=1) + "\n")
            console.announce(f"written to {out}")
