"""Which methods a model is measured with: the uncached run, caches, plain runs with fewer steps, and peers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from lesa_framework.api import Pipeline, Session, attach_strategy
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.generation import GenerationSettings, sampler_grid
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.peer import Peer, PeerFamily
from lesa_framework.measure.matching import Measure
from lesa_framework.measure.planning import naming, planned_nfe, run_info
from lesa_framework.measure.results import UNCACHED, Kind, fewer_steps_name
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.plugin.manager import plugins
from lesa_framework.runtime.strategy import Strategy


@dataclass(frozen=True)
class Cache:
    """A configuration to measure, and the name of its schedule in the benchmark's file, if it has one."""

    config: LesaConfig
    schedule: str = ""


@dataclass(frozen=True)
class Contender:
    """A method to measure; it becomes a row.

    Attributes:
        name: The row's name.
        kind: What it is.
        family: What rows of one sort share.
        nfe: Computed steps that it competes at; None for a cache whose schedule depends on data, until it has run.
        num_steps: Steps of the sampler.
        schedule: Name of its schedule in the file, or empty.
        config: Of caches, the configuration, for the record.
        strategy: Of caches, what is attached.
        backbone: Of caches, where it is attached.
        peer: Of peers, the family whose setting is searched.
        measure: Of peers, the measure in which their work is matched.
    """

    name: str
    kind: Kind
    family: str
    nfe: int | None
    num_steps: int
    schedule: str = ""
    config: LesaConfig | None = None
    strategy: Strategy | None = None
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    peer: PeerFamily | None = None
    measure: Measure = Measure.FLOPS

    @contextmanager
    def attached(self, pipe: Pipeline, peer: Peer | None = None) -> Iterator[Session | None]:
        """Attach the method inside the context; afterwards the pipeline is as before.

        Args:
            pipe: The pipeline, bare.
            peer: Of peers, the one with all settings chosen.

        Yields:
            The session of a cache; None for peers and plain runs.
        """
        if peer is not None:
            with peer.attach(pipe):
                yield None
        elif self.strategy is None:
            yield None
        else:
            with attach_strategy(pipe, self.strategy, self.backbone, self.backbone.tap) as session:
                yield session


def uncached(num_steps: int) -> Contender:
    """The run that everything is measured against."""
    return Contender(UNCACHED, Kind.UNCACHED, UNCACHED, num_steps, num_steps)


def fewer_steps(num_steps: int) -> Contender:
    """A plain run with fewer steps."""
    return Contender(fewer_steps_name(num_steps), Kind.FEWER_STEPS, Kind.FEWER_STEPS, num_steps, num_steps)


def cached(
    pipe: CallablePipeline, caches: Sequence[Cache], strategies: Mapping[str, Strategy], settings: GenerationSettings
) -> list[Contender]:
    """Check every cache against the pipeline and its noise levels, without generating anything.

    Args:
        pipe: The pipeline, bare.
        caches: The configurations.
        strategies: What they build, by their names.
        settings: Steps and further arguments of the pipeline.

    Raises:
        LesaError: A configuration does not fit; the message begins with its name.
    """
    grid = sampler_grid(pipe, settings)
    found = []
    for cache in caches:
        config, strategy = cache.config, strategies[cache.config.name]
        with naming(config.name):
            nfe = planned_nfe(strategy, run_info(pipe, config, grid))
        found.append(
            Contender(
                config.name, Kind.CACHE, config.predictor.kind, nfe, settings.num_steps,
                cache.schedule, config, strategy, config.backbone,
            )
        )  # fmt: skip
    return found


def line_up(
    caches: Sequence[Contender],
    num_steps: int,
    nfes: Sequence[int] = (),
    peers: Sequence[str] = (),
    peers_by_steps: Sequence[str] = (),
) -> list[Contender]:
    """All rows of a model: the uncached run first, then caches, then plain runs and peers at every NFE.

    Args:
        caches: From `cached`.
        num_steps: Steps of the sampler.
        nfes: What plain runs and peers compete at; those of the caches if empty.
        peers: Names of peers, each matched to the work of every NFE.
        peers_by_steps: Names of peers, each matched to as many whole steps.

    Raises:
        ConfigError: There is nothing to compare, or two rows have the same name.
    """
    every = _nfes(caches, nfes, bool(peers or peers_by_steps))
    rows = [uncached(num_steps), *caches, *map(fewer_steps, every)]
    rows += _peers(peers, every, num_steps, "", Measure.FLOPS)
    rows += _peers(peers_by_steps, every, num_steps, "_whole", Measure.STEPS)
    name, count = Counter(row.name for row in rows).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"{count} rows are called '{name}'. Rename a method, a schedule or a file.")
    return rows


def _nfes(caches: Sequence[Contender], nfes: Sequence[int], peers: bool) -> list[int]:
    """What plain runs and peers compete at, most first; empty for gates alone, whose NFE is not known yet."""
    every = sorted(set(nfes or [each.nfe for each in caches if each.nfe is not None]), reverse=True)
    if not every and not caches:
        raise ConfigError("nothing to compare. Add `methods` with `schedules`, a model's `configs`, or `nfe`.")
    if not every and peers:
        raise ConfigError(
            "peers: how many steps the caches compute depends on data, so there is no NFE to match peers to. "
            "Add one, for example `nfe: [10]`."
        )
    return every


def _peers(names: Sequence[str], nfes: Sequence[int], num_steps: int, suffix: str, measure: Measure) -> list[Contender]:
    families = plugins().registry.peers
    return [
        Contender(f"{name}_{nfe}{suffix}", Kind.PEER, name, nfe, num_steps, peer=families.get(name), measure=measure)
        for nfe in nfes
        for name in names
    ]
