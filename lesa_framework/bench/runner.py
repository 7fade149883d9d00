"""Runs a benchmark, cell by cell; what is finished is kept, and found again by the next start."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatch

from lesa_framework.bench.assembly import Measured, assemble
from lesa_framework.bench.contenders import Contender, line_up
from lesa_framework.bench.model_bench import ModelBench
from lesa_framework.bench.results import BenchResults, Kind
from lesa_framework.bench.scoring import Judges, load_metrics
from lesa_framework.bench.spec import BenchFile
from lesa_framework.bench.store import Store
from lesa_framework.bench.tasks import Task
from lesa_framework.errors import ConfigError
from lesa_framework.evaluation.compare import Watcher
from lesa_framework.evaluation.run import environment, load_scorer, versions
from lesa_framework.generation import check_call
from lesa_framework.pipelines import load_pipeline

#: Makes a watcher for one model's part of the work, from a title.
Progress = Callable[[str], AbstractContextManager[Watcher]]


def run_bench(
    file: BenchFile,
    tasks: Sequence[Task],
    store: Store,
    progress: Progress,
    *,
    only: Sequence[str] = (),
    device: str | None = None,
    command: str = "",
) -> BenchResults:
    """Run a benchmark.

    Args:
        file: What to run.
        tasks: Its parts, from `tasks_of`.
        store: Keeps what is finished.
        progress: Makes a watcher for each model.
        only: Patterns of rows, such as `lesa-*` or `reference:flux/reuse-*`; all when empty.
        device: Where to; None chooses.
        command: The command line, for the record.

    Raises:
        LesaError: A model or a configuration does not fit; what is finished is kept.
    """
    sitting = uuid.uuid4().hex
    machine = environment() | versions(["cache-dit"])
    measured: list[Measured] = []
    for number, task in enumerate(tasks, start=1):
        pipe = load_pipeline(task.source, device=device)
        check_call(pipe, task.settings.call)
        contenders = _chosen(task, line_up(file, task.caches, pipe, task.settings), only)
        if all(each.kind is Kind.UNCACHED for each in contenders):
            continue
        scorer, notes = load_scorer(task.source)
        metrics, skipped = load_metrics(file.spec.metrics, next(pipe.transformer.parameters()).device)
        judges = Judges(scorer, metrics, (*notes, *skipped))
        bench = ModelBench(pipe, task, contenders, judges, store, machine, sitting, file.spec.batch, file.spec.images)
        with progress(f"{task.source.name} ({number} of {len(tasks)})") as watcher:
            measured.append(bench.run(watcher))
    if not measured:
        raise ConfigError(f"--only {' '.join(only)}: fits no row. Rows are named MODEL/NAME; see `lesa bench --help`.")
    return assemble(file, measured, machine, command)


def _chosen(task: Task, contenders: Sequence[Contender], only: Sequence[str]) -> list[Contender]:
    def fits(contender: Contender) -> bool:
        names = (contender.name, f"{task.source.name}/{contender.name}")
        return any(fnmatch(name, pattern) for pattern in only for name in names)

    return [each for each in contenders if not only or each.kind is Kind.UNCACHED or fits(each)]
