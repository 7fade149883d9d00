"""Who takes part in a benchmark: a file's methods, schedules, configurations and peers, as one list for each model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lesa_framework.config.loading import load_config, parse_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.generation import GenerationSettings
from lesa_framework.interfaces.peer import PeerFamily
from lesa_framework.measure.matching import Measure
from lesa_framework.measure.methods import cached_methods, fewer_steps, naming, uncached
from lesa_framework.measure.results import Kind
from lesa_framework.measure.spec import BenchFile, ModelEntry
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.plugin.manager import plugins
from lesa_framework.runtime.engine import Strategy


@dataclass(frozen=True)
class Contender:
    """One row to be.

    Attributes:
        name: The row's name.
        kind: What it is.
        family: What rows of one sort share.
        target: Computed steps that it competes at.
        num_steps: Steps of the sampler.
        schedule: Name of its schedule in the file, or empty.
        config: Its configuration, of caches only.
        strategy: What that builds.
        peer: Of peers only, the family whose setting is searched.
        measure: Of peers only, in what their work is matched.
    """

    name: str
    kind: Kind
    family: str
    target: int
    num_steps: int
    schedule: str = ""
    config: LesaConfig | None = None
    strategy: Strategy | None = None
    peer: PeerFamily | None = None
    measure: Measure = Measure.FLOPS


@dataclass(frozen=True)
class Cache:
    """A configuration, and the name of its schedule in the file."""

    config: LesaConfig
    schedule: str = ""


def caches_of(file: BenchFile, entry: ModelEntry) -> list[Cache]:
    """Every method with every schedule, then the model's own configurations; no model is needed.

    Raises:
        ConfigError: Something is not valid.
    """
    spec = file.spec
    chosen = spec.schedules if entry.schedules is None else {name: spec.schedules[name] for name in entry.schedules}
    caches = []
    for schedule, section in chosen.items():
        for method, sections in spec.methods.items():
            _refuse_schedule(file, method, sections)
            raw = {"schedule": section, **sections}
            own = sections.get("backbone", {})
            if not isinstance(own, dict):
                raise ConfigError(
                    f"{file.path}: methods.{method}.backbone: expected a mapping such as {{tap: output}}, "
                    f"found {own!r}."
                )
            if entry.backbone:
                raw["backbone"] = {**entry.backbone, **own}
            with naming(f"{file.path}: methods.{method} with schedules.{schedule}"):
                caches.append(Cache(parse_config(raw, file.folder, f"{method}-{schedule}"), schedule))
    for name in entry.configs:
        beside = file.folder / name
        caches.append(Cache(load_config(beside if beside.is_file() else name)))
    return caches


def line_up(
    file: BenchFile,
    caches: Sequence[Cache],
    strategies: Mapping[str, Strategy],
    pipe: CallablePipeline,
    settings: GenerationSettings,
) -> list[Contender]:
    """All rows of a model: the uncached run first, then caches, plain runs and peers at every target.

    Raises:
        LesaError: A configuration does not fit the model, or two rows have the same name.
    """
    configs = [cache.config for cache in caches]
    methods = cached_methods(pipe, configs, strategies, settings)
    targets = sorted(set(file.spec.targets or [method.nfe for method in methods]), reverse=True)
    if not targets:
        raise ConfigError(
            f"{file.path}: nothing to compare. Add `methods` with `schedules`, a model's `configs`, or `targets`."
        )
    bare = uncached(settings.num_steps)
    rows = [Contender(bare.name, Kind.UNCACHED, bare.name, bare.nfe, bare.num_steps)]
    rows += [
        Contender(
            method.name, Kind.CACHE, cache.config.predictor.kind, method.nfe, method.num_steps, cache.schedule,
            cache.config, method.strategy,
        )
        for method, cache in zip(methods, caches, strict=True)
    ]  # fmt: skip
    rows += [
        Contender(fewer_steps(target).name, Kind.FEWER_STEPS, Kind.FEWER_STEPS, target, target) for target in targets
    ]
    families = plugins().registry.peers
    for names, suffix, measure in (
        (file.spec.peers, "", Measure.FLOPS),
        (file.spec.peers_by_steps, "_whole", Measure.STEPS),
    ):
        rows += [
            Contender(
                f"{name}_{target}{suffix}", Kind.PEER, name, target, settings.num_steps, peer=families.get(name),
                measure=measure,
            )
            for target in targets
            for name in names
        ]  # fmt: skip
    for name, count in Counter(row.name for row in rows).items():
        if count > 1:
            raise ConfigError(f"{file.path}: {count} rows are called '{name}'. Rename a method, a schedule or a file.")
    return rows


def _refuse_schedule(file: BenchFile, method: str, sections: dict[str, Any]) -> None:
    if "schedule" in sections:
        raise ConfigError(
            f"{file.path}: methods.{method}: has a schedule of its own. Put it into `schedules`, or make the whole a "
            "configuration file and name it under a model's `configs`."
        )
