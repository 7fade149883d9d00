"""What a cache does to a queue of requests: a simulation of GPUs that serve them, from measured step times.

cp examples/serving_simulation.yaml examples/my-cluster.yaml     # change it; it names files from its own folder
python examples/serving_simulation.py examples/my-cluster.yaml   # without a file: as serving_simulation.yaml says
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesa_framework import ConfigError
from lesa_framework.files import read_text
from lesa_framework.measure import read_results

ASSUMPTIONS = Path(__file__).with_suffix(".yaml")


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Read):
    """Whose step times: a results file of `python -m benchmarks.full_size`, and a cached method in it."""

    file: Path
    method: str


class Batches(_Read):
    """Requests that are computed in one call of the model."""

    arrivals_per_minute: float = Field(gt=0)
    largest: int = Field(ge=1)
    shared: tuple[float, ...] = Field(min_length=1)


class Assumptions(_Read):
    """All that is assumed; the YAML says what each is."""

    replicas: int = Field(ge=1)
    requests: int = Field(ge=100)
    repeats: int = Field(ge=1)
    seed: int = Field(ge=0)
    first_left_out: float = Field(ge=0, lt=1)
    other_seconds: float = Field(ge=0)
    loads: tuple[float, ...] = Field(min_length=1)
    systems: tuple[Source, ...] = Field(min_length=1)
    batches: Batches


@dataclass(frozen=True)
class Service:
    """What one request needs of a replica, and what a batch of them needs.

    Attributes:
        steps: Of a run.
        computed: Of these, steps in which the blocks run.
        computed_s: Seconds of such a step, for one request.
        predicted_s: Seconds of another step, for one request.
        other_s: Seconds of text encoding and decoding, for one request.
        shared: Share of a call that costs the same for one request and for several.
        parts: Parts of equal work in a run, between which requests may join; 1 is none.
        gated: Whether each request computes steps that depend on its data. A batch then computes every step that one
            of its requests wants; how the steps of different requests lie is taken as random.
    """

    steps: int
    computed: int
    computed_s: float
    predicted_s: float
    other_s: float = 0.0
    shared: float = 0.0
    parts: int = 1
    gated: bool = False

    def seconds(self, batch: int, draw: np.random.Generator) -> float:
        """How long one part takes for a batch."""
        computed = self._wanted(batch, draw) if self.gated else self.computed
        run = computed * self.computed_s + (self.steps - computed) * self.predicted_s
        return (run * (self.shared + (1 - self.shared) * batch) + self.other_s * batch) / self.parts

    def capacity(self, replicas: int = 1) -> float:
        """Requests a second that replicas serve one by one, without a pause."""
        return replicas / replace(self, gated=False, parts=1).seconds(1, np.random.default_rng(0))

    def _wanted(self, batch: int, draw: np.random.Generator) -> int:
        places = draw.random((batch, self.steps)).argsort(axis=1)
        return int((places < self.computed).any(axis=0).sum())


@dataclass(frozen=True)
class Outcome:
    """What happened to the requests of one run.

    Attributes:
        latencies: Seconds from arrival to picture, in order of arrival.
        busy: Seconds of work, over all replicas.
        span: Seconds from the beginning until the last picture.
        waiting_and_served: Requests in the system, added up over time, in request seconds.
        starts: Batch sizes, one for each part that was worked on.
    """

    latencies: np.ndarray
    busy: float
    span: float
    waiting_and_served: float
    starts: tuple[int, ...]

    def percentiles(self, first_left_out: float = 0.0) -> tuple[float, float, float]:
        """The latencies that 50, 95 and 99 % of the requests stay below, without the first ones."""
        kept = self.latencies[int(len(self.latencies) * first_left_out) :]
        middle, most, nearly_all = np.percentile(kept, (50, 95, 99))
        return float(middle), float(most), float(nearly_all)


class Cluster:
    """Replicas and the queue before them, as events in time: an arrival, or the end of a part on a replica."""

    def __init__(self, service: Service, replicas: int, largest: int, draw: np.random.Generator) -> None:
        self._service, self._largest, self._draw = service, largest, draw
        self._queue: deque[int] = deque()
        self._left: list[dict[int, int]] = [{} for _ in range(replicas)]  # parts left, by request
        self._idle = list(range(replicas))
        self._ends: list[tuple[float, int]] = []
        self._busy, self._starts = 0.0, list[int]()

    def run(self, arrivals: np.ndarray) -> Outcome:
        """Serve requests that arrive at these times, in seconds, in order."""
        done, come, inside, now, area = np.zeros(len(arrivals)), 0, 0, 0.0, 0.0
        while come < len(arrivals) or self._ends:
            arrives = come < len(arrivals) and (not self._ends or arrivals[come] <= self._ends[0][0])
            then = float(arrivals[come]) if arrives else self._ends[0][0]
            area, now = area + inside * (then - now), then
            if arrives:
                self._queue.append(come)
                come, inside = come + 1, inside + 1
                if self._idle:
                    self._fill(self._idle.pop(), now)
            else:
                replica = heapq.heappop(self._ends)[1]
                finished = self._advance(replica)
                done[finished] = now
                inside -= len(finished)
                self._fill(replica, now)
        return Outcome(done - arrivals, self._busy, now, area, tuple(self._starts))

    def _advance(self, replica: int) -> list[int]:
        left = {request: parts - 1 for request, parts in self._left[replica].items()}
        self._left[replica] = {request: parts for request, parts in left.items() if parts}
        return [request for request, parts in left.items() if not parts]

    def _fill(self, replica: int, now: float) -> None:
        """Let waiting requests in; where a run has one part, a batch is over before others join."""
        batch = self._left[replica]
        while self._queue and len(batch) < self._largest:
            batch[self._queue.popleft()] = self._service.parts
        if not batch:
            self._idle.append(replica)
            return
        seconds = self._service.seconds(len(batch), self._draw)
        self._busy += seconds
        self._starts.append(len(batch))
        heapq.heappush(self._ends, (now + seconds, replica))


def simulate(
    service: Service, arrivals_per_second: float, requests: int, seed: int, *, replicas: int = 1, largest: int = 1
) -> Outcome:
    """Serve requests that arrive at random with this rate (Poisson)."""
    draw = np.random.default_rng(seed)
    arrivals = np.cumsum(draw.exponential(1 / arrivals_per_second, requests))
    return Cluster(service, replicas, largest, draw).run(arrivals)


@dataclass(frozen=True)
class System:
    """A model on a device: the uncached service and the cached one, from measured times."""

    title: str
    device: str
    method: str
    uncached: Service
    cached: Service


def read_system(path: Path, method: str, other_seconds: float) -> System:
    """A system's step times: an uncached run gives those of computed steps, what a cached run takes beyond its own
    gives those of predicted ones.

    Raises:
        ConfigError: The file cannot be read, or has no such method.
    """
    results = read_results(path)
    timed = [row for row in results.rows if row.seconds is not None]
    bare = next((row for row in timed if row.kind.value == "uncached"), None)
    cached = {row.name: row for row in timed if row.kind.value == "cache"}
    if bare is None or method not in cached:
        names = ", ".join(cached) or "none"
        raise ConfigError(f"{path}: has no uncached run, or no cached method {method!r}. Its cached methods: {names}.")
    row, steps = cached[method], bare.num_steps
    computed = bare.seconds / steps
    predicted = max(0.0, (row.seconds - row.nfe * computed) / (steps - row.nfe))
    return System(
        results.title,
        str(results.environment["device"]),
        method,
        Service(steps, steps, computed, 0.0, other_seconds),
        Service(steps, row.nfe, computed, predicted, other_seconds),
    )


@dataclass(frozen=True)
class Point:
    """Latencies in seconds at one rate of arrivals: of several runs the middle ones.

    `spread` is how far apart the p95 of these runs lie, as a share; `batch` is the mean size of a batch.
    """

    arrivals_per_minute: float
    p50: float
    p95: float
    p99: float
    spread: float
    batch: float


def point(service: Service, arrivals_per_second: float, told: Assumptions, *, largest: int = 1) -> Point:
    """Simulate one load, several times."""
    seeds = range(told.seed, told.seed + told.repeats)
    size = {"replicas": told.replicas, "largest": largest}
    runs = [simulate(service, arrivals_per_second, told.requests, seed, **size) for seed in seeds]
    found = [run.percentiles(told.first_left_out) for run in runs]
    p50, p95, p99 = (median(each) for each in zip(*found, strict=True))
    tails = [each[1] for each in found]
    return Point(
        arrivals_per_second * 60,
        p50,
        p95,
        p99,
        (max(tails) - min(tails)) / p95,
        float(np.mean([size for run in runs for size in run.starts])),
    )


def curve(service: Service, told: Assumptions) -> list[Point]:
    """Latencies at every load that is asked for."""
    return [point(service, load * service.capacity(told.replicas), told) for load in told.loads]


def read_assumptions(path: Path) -> tuple[Assumptions, list[System]]:
    """The assumptions, and the step times from the files that they name, from the YAML's folder.

    Raises:
        ConfigError: A file cannot be read, or is not valid.
    """
    try:
        told = Assumptions.model_validate(yaml.safe_load(read_text(path, hint=f"{ASSUMPTIONS.name} is an example.")))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where or 'the file'}: {first['msg']}. See {ASSUMPTIONS.name}.") from error
    return told, [read_system(path.parent / each.file, each.method, told.other_seconds) for each in told.systems]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print throughput and latencies of every system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assumptions", type=Path, nargs="?", default=ASSUMPTIONS)
    try:
        told, systems = read_assumptions(parser.parse_args(arguments).assumptions)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    for system in systems:
        print(f"{system.title} on {told.replicas} x {system.device}; seconds from arrival to picture")
        for name, service in (("uncached", system.uncached), (system.method, system.cached)):
            print(f"  {name}: {service.capacity(told.replicas) * 60:.1f} requests a minute at most")
            for load, at in zip(told.loads, curve(service, told), strict=True):
                print(
                    f"    {at.arrivals_per_minute:6.1f} a minute (load {load:.0%}):"
                    f"  p50 {at.p50:6.1f}  p95 {at.p95:6.1f}  p99 {at.p99:6.1f}"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
