"""A benchmark's tasks, checked as far as possible before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lesa_framework.call_arguments import check_finite
from lesa_framework.config import fitted_for
from lesa_framework.config.loading import load_config, parse_config
from lesa_framework.config.repository import CONFIG
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, shown
from lesa_framework.files import is_file, is_folder, read_prompts
from lesa_framework.generation import GenerationSettings
from lesa_framework.limits import check_pairs
from lesa_framework.measure.lineup import Contender, caches, naming
from lesa_framework.measure.results import Pair
from lesa_framework.measure.spec import BenchFile, BenchSpec, ModelEntry, Prompts
from lesa_framework.pipelines import ModelSource, find_model
from lesa_framework.plugin.manager import plugins

_CHOSEN = "These pairs are for choosing methods. Publish the numbers of the file's other pairs."
_CONFIRMED = "Methods were chosen on other pairs, the file's `selection`; no number here comes from them."


@dataclass(frozen=True)
class Task:
    """What is measured on one model: its caches, and what else `spec` asks for: metrics, peers, NFEs, ..."""

    source: ModelSource
    caches: Sequence[Contender]
    pairs: Sequence[Pair]
    settings: GenerationSettings
    spec: BenchSpec

    def images_kept(self, group: Sequence[Pair]) -> int:
        """How many pairs of a batch, from its first, have their images kept."""
        return max(0, self.spec.images - self.pairs.index(group[0]))


@dataclass(frozen=True)
class Benchmark:
    """Everything that one command measures, and for the record the file that asked for it and the command line.

    `note` says what the results are for; it is empty where there is nothing to say. `selection` tells that they are of
    the file's pairs for choosing methods.
    """

    tasks: Sequence[Task]
    title: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    command: str = ""
    note: str = ""
    selection: bool = False


def comparison(
    source: ModelSource,
    configs: Sequence[LesaConfig],
    pairs: Sequence[Pair],
    settings: GenerationSettings,
    *,
    batch: int = 8,
    images: int = 0,
    command: str = "",
) -> Benchmark:
    """A benchmark of some configurations on one model, without a file; the first `images` pairs' images are kept.

    Raises:
        LesaError: A configuration cannot be built, or there are no prompts.
    """
    if not pairs:
        raise ConfigError("prompts: there are none. Put one prompt on each line of the file.")
    methods = caches([(config, "") for config in configs], settings.num_steps)
    spec = BenchSpec(models={source.name: ModelEntry()}, batch=batch, images=images)
    task = Task(source, methods, pairs, settings, spec)
    return Benchmark([task], title="What predicting most steps costs", command=command)


def benchmark_of(file: BenchFile, command: str = "", *, selection: bool = False) -> Benchmark:
    """Check a benchmark's file before anything is loaded.

    Args:
        file: The file.
        command: The command line, for the record.
        selection: Measure on the file's pairs for choosing methods instead of on those that are published.

    Raises:
        LesaError: Something is not valid.
    """
    registry = plugins().registry
    for name in (*file.spec.peers, *file.spec.peers_by_steps):
        registry.peers.get(name)
    for name in file.spec.told_peers:
        registry.told_peers.get(name)
    for name in file.spec.metrics:
        registry.metrics.get(name)
    measured = file.for_selection() if selection else file
    tasks = [_task(measured, name, entry) for name, entry in file.spec.models.items()]
    for task in tasks:
        _check_selection(file, task)
    note = "" if file.spec.selection is None else _CHOSEN if selection else _CONFIRMED
    return Benchmark(tasks, file.spec.title, file.raw, file.path, command, note, selection)


def _task(file: BenchFile, name: str, entry: ModelEntry) -> Task:
    spec = file.spec
    beside = file.folder / name
    source = replace(find_model(str(beside)), name=name) if is_folder(beside) else find_model(name)
    configs = _configs(file, entry)
    with naming(f"{file.path}: models.{name}"):
        spec, fitted = _fitted_for(spec, entry, [config for config, _ in configs])
        beyond = [nfe for nfe in spec.nfe or () if nfe > spec.steps]
        if beyond:
            steps = spec.steps
            raise ConfigError(f"nfe: {beyond[0]} is more than the {steps} steps of a run. Give at most {steps}.")
        call = (dict(source.named.call) if source.named else {}) | fitted | entry.call
        check_finite(call)
    methods = caches(configs, spec.steps)  # weights are read: missing ones show now
    prompts = _prompts(file, source, spec.prompts)
    check_pairs(len(prompts), len(spec.seeds), f"{file.path}: seeds")
    # Seeds outside: the first batches, whose images are kept, have different prompts.
    pairs = [Pair(prompt=prompt, seed=seed) for seed in spec.seeds for prompt in dict.fromkeys(prompts)]
    return Task(source, methods, pairs, GenerationSettings(num_steps=spec.steps, call=call), spec)


def _fitted_for(spec: BenchSpec, entry: ModelEntry, configs: Sequence[LesaConfig]) -> tuple[BenchSpec, dict[str, Any]]:
    """What the file leaves open is as the configurations were fitted: the steps, and arguments of the pipeline."""
    steps = None if "steps" in spec.model_fields_set else fitted_for.steps_of(configs)
    found = spec if steps is None else spec.model_copy(update={"steps": steps})
    return found, fitted_for.call_of(configs, entry.call)


def _check_selection(file: BenchFile, task: Task) -> None:
    """Refuse pairs for choosing that are published too."""
    chosen = file.spec.selection
    if chosen is None:
        return
    published, other = (_prompts(file, task.source, each) for each in (file.spec.prompts, chosen.prompts))
    shared = sorted(set(published) & set(other))
    if shared:
        raise ConfigError(
            f"{file.path}: selection.prompts: {len(shared)} of them are among `prompts` too, such as "
            f"{shown(shared[0])}. Draw them with another seed, or name others."
        )


def _configs(file: BenchFile, entry: ModelEntry) -> list[tuple[LesaConfig, str]]:
    """Every method with every schedule and its name, then the model's own configurations."""
    spec = file.spec
    shared = spec.shared_schedules if entry.schedules is None else entry.schedules
    found = []
    for schedule, section in spec.schedules.items():
        for method, sections in spec.methods.items():
            if schedule not in (*shared, *sections.get("schedules", ())):
                continue
            raw = {"schedule": section, **_sections(file, method, sections, entry)}
            with naming(f"{file.path}: methods.{method} with schedules.{schedule}"):
                found.append((parse_config(raw, file.folder, f"{method}-{schedule}"), schedule))
    for name in entry.configs:
        beside = file.folder / name
        is_beside = is_file(beside) or is_file(beside / CONFIG)
        found.append((load_config(beside if is_beside else name), ""))
    return found


def _sections(file: BenchFile, method: str, sections: dict[str, Any], entry: ModelEntry) -> dict[str, Any]:
    """A method's configuration on one model, without the schedule."""
    if "schedule" in sections:
        raise ConfigError(
            f"{file.path}: methods.{method}: has a schedule of its own. Put it into `schedules`, or make the whole a "
            "configuration file and name it under a model's `configs`."
        )
    own = sections.get("backbone", {})
    if not isinstance(own, dict):
        raise ConfigError(
            f"{file.path}: methods.{method}.backbone: expected a mapping such as {{tap: output}}, found {shown(own)}."
        )
    given = {key: section for key, section in sections.items() if key != "schedules"}
    return {**given, "backbone": {**entry.backbone, **own}} if entry.backbone else given


def _prompts(file: BenchFile, source: ModelSource, wanted: Prompts) -> list[str]:
    if wanted.texts is not None:
        return wanted.texts
    if wanted.file is not None:
        return read_prompts(wanted.file, f"{file.path}: prompts.file")
    if source.named is None or source.named.prompts is None:
        raise ConfigError(
            f"{file.path}: prompts.draw: '{source.name}' has no prompts of its own to draw from. "
            "Give `prompts: {file: prompts.txt}`."
        )
    return source.named.prompts(wanted.seed, wanted.draw or 1)
