"""Which methods a model is measured with: the uncached run, caches, plain runs with fewer steps, and peers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from lesa_framework.api import attach_strategy
from lesa_framework.building import build_strategy
from lesa_framework.config.schema import LesaConfig
from lesa_framework.devices import check_place
from lesa_framework.errors import ConfigError, LesaError
from lesa_framework.generation import GenerationSettings, sampler_grid
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.interfaces.peer import Peer, PeerFamily, ToldPeerFamily
from lesa_framework.measure.matching import Measure
from lesa_framework.measure.results import UNCACHED, Kind, fewer_steps_name
from lesa_framework.measure.solvers import sampling_with
from lesa_framework.measure.spec import BenchSpec
from lesa_framework.measure.told import Told
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.place import Pipeline, place_of
from lesa_framework.plugin.manager import plugins
from lesa_framework.runtime.strategy import Strategy, plan
from lesa_framework.session import Session
from lesa_framework.turns import steps_in_turns
from lesa_framework.types import Reason, RunInfo

#: About the work of a predicted step, in computed steps.
PREDICTED_STEP: Final = 0.03


@dataclass(frozen=True)
class Contender:
    """A method to measure; it becomes a row.

    Attributes:
        name: The row's name.
        kind: What it is.
        family: What rows of one sort share.
        nfe: Computed steps that it competes at; None for a cache before it is checked against a pipeline, and for one
            whose schedule depends on data until it has run.
        num_steps: Steps of the sampler.
        schedule: Name of its schedule in the benchmark's file, or empty.
        config: Of caches, the configuration, for the record.
        strategy: Of caches, what is attached.
        backbone: Of caches, where it is attached.
        peer: Of peers, the family whose setting is searched.
        measure: Of peers, the measure in which their work is matched, and by which the row is ranked.
        steps: The steps to compute, of told peers and of caches that were checked against a pipeline; None where that
            depends on data.
        solver: Of plain runs, the sampler in place of the pipeline's own, or empty.
        weights: Of caches, the SHA-256 of each file that `strategy` was built from.
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
    steps: tuple[int, ...] | None = None
    solver: str = ""
    weights: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The work of its steps on average, in uncached steps; a rough number, for progress alone."""
        if self.nfe is None or self.kind not in {Kind.CACHE, Kind.PEER}:
            return 1.0
        return (self.nfe + PREDICTED_STEP * (self.num_steps - self.nfe)) / self.num_steps

    @contextmanager
    def attached(self, pipe: Pipeline, peer: Peer | None = None) -> Iterator[Session | None]:
        """Attach a cache, and yield its session, or a peer with its settings; afterwards the pipeline is as before."""
        if peer is not None:
            with peer.attach(pipe):
                yield None
        elif self.strategy is not None:
            with attach_strategy(pipe, self.strategy, self.backbone, self.backbone.tap) as session:
                yield session
        elif self.solver:
            with sampling_with(pipe, self.solver):
                yield None
        else:
            yield None


def uncached(num_steps: int) -> Contender:
    """The run that everything is measured against."""
    return Contender(UNCACHED, Kind.UNCACHED, UNCACHED, num_steps, num_steps)


def fewer_steps(num_steps: int, solver: str = "") -> Contender:
    """A plain run with fewer steps, of the pipeline's own sampler or of another one."""
    name = f"{solver}_{num_steps}" if solver else fewer_steps_name(num_steps)
    return Contender(name, Kind.FEWER_STEPS, solver or Kind.FEWER_STEPS, num_steps, num_steps, solver=solver)


def caches(configs: Iterable[tuple[LesaConfig, str]], num_steps: int) -> list[Contender]:
    """Make a method of every configuration, each with the name of its schedule in the benchmark's file or "".

    Weights are read here, before any model is loaded.

    Raises:
        LesaError: A configuration cannot be built, or two have the same name.
    """
    found: list[Contender] = []
    for config, schedule in configs:
        name = config.name
        if name == UNCACHED or name.startswith(fewer_steps_name(0)[:-1]):
            raise ConfigError(f"configs: '{name}' is the name of a row of its own. Rename the file.")
        if name in {each.name for each in found}:
            raise ConfigError(
                f"configs: more than one is called '{name}'. Each YAML file names its row: rename one of them. "
                "Its weights keep their name."
            )
        with naming(name):
            strategy = build_strategy(config)
            check_place(strategy.history)
        # Now, and once: a file that is written again while a benchmark runs is not what is measured.
        weights, kind = _digests(config), config.predictor.kind
        found.append(
            Contender(
                name, Kind.CACHE, kind, None, num_steps, schedule, config, strategy, config.backbone, weights=weights
            )
        )  # fmt: skip
    return found


def _digests(config: LesaConfig) -> tuple[str, ...]:
    paths = [value for _, value in config.predictor if isinstance(value, Path) and value.is_file()]
    return tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)


def planned(pipe: CallablePipeline, methods: Sequence[Contender], settings: GenerationSettings) -> list[Contender]:
    """Check caches against a pipeline and its noise levels, without generating anything; finds their NFEs.

    Raises:
        LesaError: A configuration does not fit; the message begins with its name.
    """
    found = []
    for each, steps in zip(methods, check_fits(pipe, methods, settings), strict=True):
        assert each.strategy is not None
        turns = None if steps is None else steps_in_turns(pipe, each.strategy, each.backbone, settings)
        computed = turns or steps
        found.append(replace(each, nfe=None if computed is None else len(computed), steps=computed))
    return found


def check_fits(
    pipe: CallablePipeline, methods: Sequence[Contender], settings: GenerationSettings
) -> list[tuple[int, ...] | None]:
    """Check caches against a pipeline and its noise levels, without a rehearsal.

    Returns:
        The steps that each computes where transformers take no turns; None where that depends on data.

    Raises:
        LesaError: A configuration does not fit; the message begins with its name.
    """
    grid, found = sampler_grid(pipe, settings), []
    for each in methods:
        assert each.strategy is not None
        with naming(each.name):
            found.append(planned_steps(each.strategy, run_info(pipe, each.backbone, grid)))
    return found


def run_info(pipe: Pipeline, backbone: BackboneConfig, grid: tuple[float, ...]) -> RunInfo:
    """The run that a configuration with this `backbone` section will make.

    Raises:
        UnsupportedBackboneError: No adapter fits, or it does not have the tap.
    """
    place = place_of(pipe, None, backbone)
    place.check_tap(backbone.tap)
    return RunInfo(grid, place.kind, backbone.tap, place.look())


def planned_steps(strategy: Strategy, run: RunInfo) -> tuple[int, ...] | None:
    """The steps that a run will compute; None when that depends on data.

    Raises:
        LesaError: The schedule or the predictor does not fit the run.
    """
    strategy = strategy.on(run.sigmas)
    check_length(strategy, run.sigmas)
    strategy.predictor.check(run)
    reasons = [reason for _, reason in plan(strategy, run.sigmas)]
    if Reason.DATA in reasons:
        return None
    return tuple(step for step, reason in enumerate(reasons) if reason is not Reason.PREDICTED)


def check_length(strategy: Strategy, sigmas: Sequence[float]) -> None:
    """Refuse runs that end before the history is long enough to predict anything.

    Raises:
        ConfigError: There are too few steps.
    """
    steps = len(sigmas) - 1
    strategy.schedule.check(steps)
    needed = min(strategy.predictor.min_history(stage) for stage in range(strategy.router.num_stages))
    if steps <= needed:
        raise ConfigError(
            f"--steps {steps}: the predictor needs {needed} features in its history before it predicts, "
            f"so nothing would be predicted. Run at least {needed + 1} steps."
        )


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Let errors raised inside the context begin with the name of the configuration."""
    try:
        yield
    except LesaError as error:
        raise type(error)(f"{name}: {error}") from error


def line_up(methods: Sequence[Contender], num_steps: int, spec: BenchSpec) -> list[Contender]:
    """All rows of a model: the uncached run first, then the caches, then plain runs and peers at every NFE.

    Raises:
        ConfigError: There is nothing to compare, or two rows have the same name.
    """
    every = _nfes(methods, spec)
    rows = [uncached(num_steps), *methods, *map(fewer_steps, every)]
    rows += [fewer_steps(nfe, solver) for nfe in every for solver in spec.samplers]
    families = plugins().registry.peers
    for names, suffix, measure in ((spec.peers, "", Measure.FLOPS), (spec.peers_by_steps, "_whole", Measure.STEPS)):
        rows += [
            Contender(
                f"{name}_{nfe}{suffix}", Kind.PEER, name, nfe, num_steps, peer=families.get(name), measure=measure
            )
            for nfe in every
            for name in names
        ]
    rows += _told(methods, num_steps, spec)
    name, count = Counter(row.name for row in rows).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"{count} rows are called '{name}'. Rename a method, a schedule or a file.")
    return rows


def told(family: ToldPeerFamily, steps: tuple[int, ...], num_steps: int, schedule: str) -> Contender:
    """A peer that is told the steps of a schedule."""
    return Contender(
        f"{family.name}-{schedule}", Kind.PEER, family.name, len(steps), num_steps, schedule,
        peer=Told(family, steps), measure=Measure.STEPS, steps=steps,
    )  # fmt: skip


def _told(methods: Sequence[Contender], num_steps: int, spec: BenchSpec) -> list[Contender]:
    """A row of each told peer for each plan of the caches, by the name of its schedule or, without one, its cache.

    Where a cache computes more steps than another of its schedule, because its history is short, the other's are told.
    """
    found: dict[str, tuple[int, ...]] = {}
    for each in methods:
        label = each.schedule or each.name
        if each.steps is not None and (label not in found or len(each.steps) < len(found[label])):
            found[label] = each.steps
    unique: dict[str, tuple[int, ...]] = {}
    for label, steps in found.items():
        if steps not in unique.values():
            unique[label] = steps
    if spec.told_peers and not unique:
        raise ConfigError(
            "told_peers: no cache of this model has steps that are known beforehand, so there is nothing to tell. "
            "Add `methods` with a schedule such as {kind: fixed_interval, interval: 7}, or a configuration."
        )
    families = plugins().registry.told_peers
    return [
        told(families.get(name), steps, num_steps, label) for label, steps in unique.items() for name in spec.told_peers
    ]


def _nfes(methods: Sequence[Contender], spec: BenchSpec) -> list[int]:
    """What plain runs and peers compete at, most first; empty for gates alone, whose NFE is not known yet."""
    every = sorted(set(spec.nfe or [each.nfe for each in methods if each.nfe is not None]), reverse=True)
    if not every and not methods:
        raise ConfigError("nothing to compare. Add `methods` with `schedules`, a model's `configs`, or `nfe`.")
    if not every and (spec.peers or spec.peers_by_steps or spec.samplers):
        raise ConfigError(
            "peers and samplers: how many steps the caches compute depends on data, so there is no NFE to match them "
            "to. Add one, for example `nfe: [10]`."
        )
    return every
