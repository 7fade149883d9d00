"""Runs a benchmark, cell by cell; what is finished is kept, and found again by the next start."""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatch

import torch

from lesa_framework.errors import ConfigError
from lesa_framework.generation import check_call
from lesa_framework.measure.assembly import Measured, assemble
from lesa_framework.measure.compare import Watcher
from lesa_framework.measure.contenders import Contender, line_up
from lesa_framework.measure.model_bench import ModelBench
from lesa_framework.measure.results import BenchResults, Kind
from lesa_framework.measure.run import environment, load_scorer, versions
from lesa_framework.measure.scoring import Judges, load_metrics
from lesa_framework.measure.spec import BenchFile
from lesa_framework.measure.store import Store
from lesa_framework.measure.tasks import Task
from lesa_framework.pipelines import CallablePipeline, load_pipeline

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
    if len(tasks) > 1:  # what is wrong with the last model shall show before hours are spent on the first
        for task in tasks:
            _opened(file, task, only, device)
            _free()
    measured: list[Measured] = []
    machine: dict[str, str] = {}
    for number, task in enumerate(tasks, start=1):
        pipe, contenders = _opened(file, task, only, device)
        if any(each.kind is not Kind.UNCACHED for each in contenders):
            machine = _machine(pipe)
            judges = _judges(file, task, pipe)
            bench = ModelBench(
                pipe, task, contenders, judges, store, machine, sitting, file.spec.batch, file.spec.images
            )
            with progress(f"{task.source.name} ({number} of {len(tasks)})") as watcher:
                measured.append(bench.run(watcher))
            del bench
        del pipe
        _free()
    if not measured:
        raise ConfigError(f"--only {' '.join(only)}: fits no row. Rows are named MODEL/NAME; see `lesa bench --help`.")
    return assemble(file, measured, machine, command)


def _opened(
    file: BenchFile, task: Task, only: Sequence[str], device: str | None
) -> tuple[CallablePipeline, list[Contender]]:
    """Load a model, and check everything against it."""
    pipe = load_pipeline(task.source, device=device)
    check_call(pipe, task.settings.call)
    return pipe, _chosen(task, line_up(file, task.caches, task.strategies, pipe, task.settings), only)


def _judges(file: BenchFile, task: Task, pipe: CallablePipeline) -> Judges:
    scorer, notes = load_scorer(task.source)
    metrics, skipped = load_metrics(file.spec.metrics, next(pipe.transformer.parameters()).device)
    return Judges(scorer, metrics, (*notes, *skipped))


def _machine(pipe: CallablePipeline) -> dict[str, str]:
    """Versions, and where this pipeline really is."""
    weight = next(pipe.transformer.parameters())
    name = torch.cuda.get_device_name(weight.device) if weight.device.type == "cuda" else weight.device.type
    precision = str(weight.dtype).removeprefix("torch.")
    return environment() | versions(["cache-dit"]) | {"device": name, "precision": precision}


def _free() -> None:
    """Two large models at once may be one too many."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _chosen(task: Task, contenders: Sequence[Contender], only: Sequence[str]) -> list[Contender]:
    def fits(contender: Contender) -> bool:
        names = (contender.name, f"{task.source.name}/{contender.name}")
        return any(fnmatch(name, pattern) for pattern in only for name in names)

    return [each for each in contenders if not only or each.kind is Kind.UNCACHED or fits(each)]
