"""A benchmark's parts, checked as far as that can be done before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lesa_framework.errors import ConfigError
from lesa_framework.files import read_prompts
from lesa_framework.generation import GenerationSettings
from lesa_framework.measure.contenders import Cache, caches_of
from lesa_framework.measure.methods import build_strategies
from lesa_framework.measure.rows import Pair
from lesa_framework.measure.spec import BenchFile, ModelEntry
from lesa_framework.pipelines import ModelSource, find_model
from lesa_framework.plugin.manager import plugins
from lesa_framework.runtime.engine import Strategy


@dataclass(frozen=True)
class Task:
    """One model's part.

    Attributes:
        source: The model.
        caches: Its configurations.
        strategies: What they build, by their names.
        pairs: Prompts and seeds.
        settings: Steps and further arguments of the pipeline.
    """

    source: ModelSource
    caches: Sequence[Cache]
    strategies: Mapping[str, Strategy]
    pairs: Sequence[Pair]
    settings: GenerationSettings


def tasks_of(file: BenchFile) -> list[Task]:
    """Check a whole benchmark before anything is loaded.

    Raises:
        LesaError: Something is not valid.
    """
    for name in (*file.spec.peers, *file.spec.peers_by_steps):
        plugins().registry.peers.get(name)
    for name in file.spec.metrics:
        plugins().registry.metrics.get(name)
    return [_task(file, name, entry) for name, entry in file.spec.models.items()]


def _task(file: BenchFile, name: str, entry: ModelEntry) -> Task:
    spec = file.spec
    beside = file.folder / name
    source = replace(find_model(str(beside)), name=name) if beside.is_dir() else find_model(name)
    caches = caches_of(file, entry)
    strategies = build_strategies([cache.config for cache in caches])  # weights are read: what is missing shows now
    call = (dict(source.named.call) if source.named else {}) | entry.call
    prompts = _prompts(file, source)
    # Seeds outside: the first batches, whose images are kept, have different prompts.
    pairs = [Pair(prompt=prompt, seed=seed) for seed in spec.seeds for prompt in dict.fromkeys(prompts)]
    return Task(source, caches, strategies, pairs, GenerationSettings(num_steps=spec.steps, call=call))


def _prompts(file: BenchFile, source: ModelSource) -> list[str]:
    wanted = file.spec.prompts
    if wanted.texts is not None:
        return wanted.texts
    if wanted.file is not None:
        return read_prompts(wanted.file, f"{file.path}: prompts.file")
    if source.named is None or source.named.prompts is None:
        raise ConfigError(
            f"{file.path}: prompts.draw: nobody draws prompts for '{source.name}'. "
            "Give `prompts: {file: prompts.txt}`."
        )
    return source.named.prompts(wanted.seed, wanted.draw or 1)
