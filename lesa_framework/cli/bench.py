"""`lesa bench`: compare every method, schedule, model and peer that a file names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from lesa_framework.cli import console, files, options, stopping, voice
from lesa_framework.cli.before_loading import say_before_loading
from lesa_framework.cli.forecast import Job
from lesa_framework.cli.outlook import Outlook
from lesa_framework.cli.results import PATIENCE, deliver, few_batches, require_all
from lesa_framework.errors import ConfigError
from lesa_framework.extras import PIPELINE, check_installed
from lesa_framework.measure.environment import environment
from lesa_framework.measure.only import check_only
from lesa_framework.measure.results import Results
from lesa_framework.measure.results_file import read_results
from lesa_framework.measure.runner import run_bench
from lesa_framework.measure.scoring import SKIPPED
from lesa_framework.measure.spec import load_spec
from lesa_framework.measure.store import Store, identity_of_benchmark
from lesa_framework.measure.tasks import Benchmark, benchmark_of
from lesa_framework.pipelines import device_for
from lesa_framework.processes import World, device_of_process
from lesa_framework.words import amount


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The benchmark's file.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="RESULTS.json",
            help="Where to write the results; by default FILE.json here, with the options' names: FILE-only.json.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="REPORT.html", help="Where to write the page; next to the results by default."),
    ] = None,
    only: Annotated[
        list[str], typer.Option(metavar="ROW", help="Only rows that match a pattern, e.g. 'reference:flux/lesa-*'.")
    ] = [],  # noqa: B006 - typer copies it
    selection: Annotated[
        bool,
        typer.Option(
            "--selection", help="Measure caches and plain runs on the file's `selection` pairs, to choose methods."
        ),
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of resuming an earlier run.")] = False,
    as_json: options.AsJson = False,
    device: options.Device = None,
) -> None:
    """Compare the methods, schedules, models and peers that a file names.

    Every method runs with every schedule on every model. Peers are matched to the same work, which is counted, never
    taken from their settings; a plain run with fewer steps is added. All of them take turns on each batch of prompts.

    Choose orders, schedules and presets with --selection, and publish a run without it: it uses other prompts.

    You can stop it at any time: the same command resumes it. Finished parts are kept in a folder next to the results
    until everything is done.
    Several processes share the batches: torchrun --nproc-per-node 2 -m lesa_framework bench ...

    Example: lesa bench benchmarks/configs/reference.yaml --out reference.json
    """
    job = Job()
    check_installed("lesa bench", (*PIPELINE, "jinja2", "plotly"))
    spec = load_spec(file)
    results_path = out or Path(f"{file.stem}{'-selection' * selection}{'-only' * bool(only)}.json")
    files.check_results_files(results_path, report, [file])
    page_path = report or results_path.with_suffix(".html")
    files.check_results_files(results_path, page_path, [file])
    bench = benchmark_of(spec, voice.line(), selection=selection)
    check_only(bench, only)
    with console.together(PATIENCE) as world:
        place = device_for(device_of_process(device))
        machine = environment(torch.device(place), processes=world.size)
        identity = identity_of_benchmark(bench, only, machine)
        store = _opened(results_path.with_suffix(".cells"), world, fresh=fresh)
        finished = None if fresh or len(store) else _finished(results_path, identity)
        if world.of_first(float(finished is not None)):
            if finished is not None and world.is_first:
                page = page_path if report is not None or not page_path.exists() else None
                deliver(finished, None, page, as_json=as_json)
                console.note(f"nothing is left to do: {results_path} holds these results. Measure again with --fresh.")
            return
        _announce(bench, results_path, store)
        few_batches(bench, world)
        say_before_loading(task.source for task in bench.tasks)
        outlook = Outlook(job, bench, results_path, page=True, beside=page_path, keeps=True)

        def look(*loaded: Any) -> None:
            nonlocal identity  # only now is it known what the hub has sent; after the run, files may be others
            identity = identity_of_benchmark(bench, only, machine)
            outlook(*loaded)

        with stopping.advice_when_stopped(lambda: _how_to_resume(store, results_path, fresh=fresh)):
            results = run_bench(
                bench, console.StepProgress, store=store, only=only, device=place, world=world, look=look
            )
    if not world.is_first:
        return
    results = results.model_copy(update={"identity": identity})
    deliver(results, results_path, page_path, as_json=as_json)
    job.done([results_path, page_path])
    require_all(results, "The finished parts are kept, and the same command tries these again.")
    if not only or store.is_used_up:  # else the other rows of a stopped run are still wanted
        store.clear()


def _opened(folder: Path, world: World, *, fresh: bool) -> Store:
    """The finished parts; all processes have looked before any of them writes."""
    if fresh and world.is_first:
        Store(folder).clear()
    world.wait()
    store = Store(folder, world)
    world.wait()
    return store


def _announce(bench: Benchmark, results_path: Path, store: Store) -> None:
    """Say what will be done, and what an earlier run has finished: one that was stopped, or had rows that failed."""
    models = ", ".join(f"{each.source.name} ({amount(len(each.pairs), 'sample')} per row)" for each in bench.tasks)
    console.announce(
        f"measuring {models}, to {results_path}. Finished parts are kept in {results_path.with_suffix('.cells')}: "
        "stop when you like, the same command resumes."
    )
    if len(store):
        console.note(f"resuming an earlier run, with {amount(len(store), 'finished part')}. Start over with --fresh.")


def _finished(path: Path, identity: str) -> Results | None:
    """Results that the same command has written; None when something is left to do."""
    try:
        results = read_results(path)
    except ConfigError:
        return None
    if results.identity != identity or any(note.startswith(SKIPPED) for note in results.notes):
        return None  # a metric that was left out may have been installed since
    return results if all(row.error is None for row in results.rows) else None


def _how_to_resume(store: Store, results_path: Path, *, fresh: bool) -> str:
    if not len(store):
        return "stopped before any part was finished. The same command starts afresh."
    command = "The same command without --fresh" if fresh else "The same command"
    parts = amount(len(store), "finished part")
    return f"stopped. {command} resumes from the {parts} in {results_path.with_suffix('.cells')}."
