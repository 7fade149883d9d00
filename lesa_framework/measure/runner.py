"""Runs a benchmark: loads each model in turn, measures it, and puts the results together."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TypeAlias

import torch

from lesa_framework.config.reading import listed
from lesa_framework.errors import ConfigError
from lesa_framework.generation import check_call
from lesa_framework.measure.assembly import Measured, assemble
from lesa_framework.measure.environment import environment
from lesa_framework.measure.lineup import Contender, line_up, naming, planned
from lesa_framework.measure.matching import refusal
from lesa_framework.measure.meter import release_memory
from lesa_framework.measure.model_bench import ModelBench
from lesa_framework.measure.only import is_wanted, no_row
from lesa_framework.measure.probing import Counted, Prober
from lesa_framework.measure.results import Kind, Results
from lesa_framework.measure.scoring import Metrics, load_metrics
from lesa_framework.measure.solvers import sampling_with
from lesa_framework.measure.store import Store
from lesa_framework.measure.subject import OpenProgress, PipelineSubject
from lesa_framework.measure.tasks import Benchmark, Task
from lesa_framework.pipelines import CallablePipeline, load_pipeline
from lesa_framework.place import first_weight
from lesa_framework.processes import ALONE, World

#: Looks at a loaded model before it is measured.
Look: TypeAlias = Callable[[CallablePipeline, Task, Sequence[Contender]], None]


def run_bench(
    bench: Benchmark,
    progress: OpenProgress,
    *,
    store: Store | None = None,
    prober: Prober | None = None,
    only: Sequence[str] = (),
    device: str | None = None,
    world: World = ALONE,
    look: Look = lambda *_: None,
) -> Results:
    """Run a benchmark.

    Args:
        bench: What to measure.
        progress: Opens the progress of each model.
        store: Keeps what is finished, so that a stopped benchmark resumes; nothing is kept if None.
        prober: Runs each method before it is timed; by default it counts everything.
        only: Patterns of rows, such as `lesa-*` or `reference:flux/reuse-*`; all when empty.
        device: Where to; None chooses.
        world: The processes that measure together, each on a model of its own; the store knows of them too. All of
            them get the results.
        look: Called with each model before anything is measured, with its task and what is measured on it.

    Raises:
        LesaError: A model or a configuration does not fit; what is finished is kept.
    """
    launch, kept = uuid.uuid4().hex, Store(world=world) if store is None else store
    if len(bench.tasks) > 1:  # a mistake in the last model shows before hours are spent on the first
        for task in bench.tasks:
            pipe, contenders = _opened(bench, task, only, device)
            look(pipe, task, contenders)
            del pipe
            release_memory()
    measured: list[Measured] = []
    for number, task in enumerate(bench.tasks, start=1):
        pipe, contenders = _opened(bench, task, only, device)
        if len(bench.tasks) == 1:
            look(pipe, task, contenders)
        if any(each.kind is not Kind.UNCACHED for each in contenders):
            weight = first_weight(pipe)
            machine = environment(weight.device, weight.dtype, world.size)
            subject, metrics = PipelineSubject(pipe, task.settings), _metrics(task, weight.device)
            running = ModelBench(
                subject, task, contenders, metrics, prober or Counted(), kept, machine, launch, world=world
            )
            title = task.source.name + (f" ({number} of {len(bench.tasks)})" if len(bench.tasks) > 1 else "")
            with progress(title) as shown:
                measured.append(running.run(shown))
            del running, subject, metrics
        del pipe
        release_memory()  # two large models at once may be one too many
    if not measured:
        raise no_row(bench, only)
    return assemble(bench, measured)


def _opened(
    bench: Benchmark, task: Task, only: Sequence[str], device: str | None
) -> tuple[CallablePipeline, list[Contender]]:
    """Load a model, and check everything against it."""
    pipe = load_pipeline(task.source, device=device)
    check_call(pipe, task.settings.call)
    caches = planned(pipe, task.caches, task.settings)
    with naming(str(bench.file)) if bench.file is not None else nullcontext():
        every = line_up(caches, task.settings.num_steps, task.spec)
        for name in task.spec.samplers:
            with sampling_with(pipe, name):
                pass  # one that does not fit is refused
    chosen = _chosen(task, every, only)
    _check_peers(bench, task, pipe, chosen)
    return pipe, chosen


def _check_peers(bench: Benchmark, task: Task, pipe: CallablePipeline, contenders: Sequence[Contender]) -> None:
    """Refuse peers that cannot be attached to this model: after hours of measuring, their rows would have no numbers.

    Raises:
        ConfigError: There are some. The message says where they are named.
    """
    reasons: dict[str, list[str]] = {}
    for name, family in {each.family: each.peer for each in contenders if each.peer is not None}.items():
        reason = refusal(family, pipe)
        if reason is not None:
            reasons.setdefault(reason, []).append(name)
    if not reasons:
        return
    places = {key: getattr(task.spec, key) for key in ("peers", "peers_by_steps", "told_peers")}
    where = "" if bench.file is None else f"{bench.file}: "
    instead = ", or give this model a file of its own" if len(bench.tasks) > 1 else ""
    problems = []
    for reason, names in reasons.items():
        keys = [f"`{key}`" for key, named in places.items() if not set(names).isdisjoint(named)]
        problems.append(
            f"{where}{', '.join(names)} cannot work on {task.source.name}: {reason.removesuffix('.')}. To measure the "
            f"others, take {'it' if len(names) == 1 else 'them'} out of {' and '.join(keys)}{instead}."
        )
    raise ConfigError(listed(problems))


def _metrics(task: Task, device: torch.device) -> Metrics:
    own = task.source.named.metrics if task.source.named else ()
    return load_metrics([*own, *task.spec.metrics], device)


def _chosen(task: Task, contenders: Sequence[Contender], only: Sequence[str]) -> list[Contender]:
    model = task.source.name
    return [each for each in contenders if each.kind is Kind.UNCACHED or is_wanted(model, each.name, only)]
