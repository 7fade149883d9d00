"""One model from nothing to its results file."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.full_size.bandwidth import measure_bandwidth
from benchmarks.full_size.bracket import BLOCKS, Bracket
from benchmarks.full_size.cases import Case
from benchmarks.full_size.device import Device
from benchmarks.full_size.first_steps import FirstSteps
from benchmarks.full_size.sampler import Denoiser, build_denoiser, build_model
from benchmarks.full_size.subject import DenoiserSubject
from lesa_framework.errors import ConfigError, LesaError, in_one_line
from lesa_framework.files import write_text
from lesa_framework.generation import GenerationSettings
from lesa_framework.measure.assembly import Measured, assemble
from lesa_framework.measure.details import Bandwidth
from lesa_framework.measure.environment import environment
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.model_bench import ModelBench
from lesa_framework.measure.results import ModelResults, Pair, Results
from lesa_framework.measure.results_file import read_results
from lesa_framework.measure.scoring import Metrics
from lesa_framework.measure.spec import BenchSpec, ModelEntry
from lesa_framework.measure.store import Store
from lesa_framework.measure.subject import Progress
from lesa_framework.measure.tasks import Benchmark, Task
from lesa_framework.pipelines import ModelSource

#: How the note begins of a run that did not come to its end.
STOPPED = "Stopped:"
#: The share of a model's time that the search for one peer's settings may take.
_SEARCHING = 0.08
_NOTES = (
    "Weights and prompts are random: times and memory are those of the real model, pictures are not.",
    "LESA is untrained: its speed does not depend on its numbers.",
)


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        rounds: How often each method is timed.
        budget: Seconds for a model, building it included, after which no method begins.
        seed: Of weights, prompts and noise.
        tiny: Whether the case is a stand-in.
        command: The command line, for the record.
        blocks: Peers' settings are searched on so many blocks first.
    """

    rounds: int = 3
    budget: float = 480.0
    seed: int = 0
    tiny: bool = False
    command: str = ""
    blocks: int = BLOCKS


def run_case(
    case: Case,
    contenders: Sequence[Contender],
    device: Device,
    settings: Settings,
    say: Callable[[str], None],
    path: Path | None,
) -> Results:
    """Measure a model.

    What was measured so far is written to a file beside, see [`unfinished`][benchmarks.full_size.bench.unfinished],
    after every method of the first round and after every further round. Only a run that has come to its end replaces
    the file itself: neither a killed run nor one that failed loses what an earlier one has measured.

    Args:
        case: The model.
        contenders: What is compared, the bare model first.
        device: Where.
        settings: How.
        say: Shows progress.
        path: Where the results go; nowhere if None.

    Raises:
        LesaError: The results cannot be written.
    """
    began = time.monotonic()
    report = _Report(case, device, settings, path, say)
    device.free()
    say(f"{case.title}: making {report.parameters / 1e9:.2f} billion weights, {report.weights_bytes / 2**30:.1f} GiB")
    try:
        denoiser = build_denoiser(case, device, settings.seed)
    except torch.OutOfMemoryError:
        return report.fail("out of memory while the model was made")
    device.synchronize()
    say(f"made in {time.monotonic() - began:.1f} s")
    subject = DenoiserSubject(denoiser, device, began + settings.budget)
    running = ModelBench(
        subject, report.task, contenders, Metrics(), FirstSteps(denoiser), Store(), report.environment,
        uuid.uuid4().hex,
        search=Bracket(
            case, device, settings.seed, settings.budget * _SEARCHING, began + settings.budget, say, settings.blocks
        ),
    )  # fmt: skip
    try:
        running.prepare(_Lines(say))
        for number in range(settings.rounds):
            if number and time.monotonic() + _round_seconds(running.measured()) > began + settings.budget:
                report.notes.append(
                    f"The time budget of {settings.budget:.0f} s allowed {number} of {settings.rounds} rounds."
                )
                break
            say(f"round {number + 1} of {settings.rounds}")
            if number == 0:
                running.round(number, lambda: report.save(running.measured()))
                report.measure_bandwidth(denoiser, running.measured())
            else:
                running.round(number)
            report.save(running.measured())
            subject.deadline = math.inf  # a further round begins only if there is time for all of it
    except Exception as error:  # not a method's, which its row tells
        reason = str(error) if isinstance(error, LesaError) else in_one_line(error)
        if not running.measured().rows[0].runs:
            return report.fail(f"the uncached model failed: {reason}")
        return report.stop(running.measured(), reason)
    return report.finish(running.measured())


def results_path(folder: Path, case: Case, device: Device, *, tiny: bool) -> Path:
    """Where a model's results go."""
    return folder / f"full-size-{case.name}-{device.slug}{'-tiny' if tiny else ''}.json"


def unfinished(path: Path) -> Path:
    """Where results are before the run has come to its end."""
    return path.with_stem(f"{path.stem}-unfinished")


class _Lines(Progress):
    """A line whenever another method begins."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._last = say, ""

    def expect(self, work: float, seconds: float | None = None) -> None:
        """Nothing to show."""

    def step(self, method: str, work: float = 1.0) -> None:  # noqa: ARG002
        """Show the method's name, once."""
        if method != self._last:
            self._say(method)
        self._last = method


class _Report:
    """Turns what was measured into results, and writes them."""

    def __init__(
        self, case: Case, device: Device, settings: Settings, path: Path | None, say: Callable[[str], None]
    ) -> None:
        shapes = [each.numel() for each in build_model(case, torch.device("meta"), device.dtype).parameters()]
        self.parameters, self.weights_bytes = sum(shapes), sum(shapes) * device.dtype.itemsize
        self.environment = environment(device.place, device.dtype)
        self.notes = list(_NOTES)
        self.bandwidth: dict[str, Bandwidth] = {}
        # Every round has the same inputs, under a name of its own.
        pairs = [Pair(prompt=f"random, round {number + 1}", seed=settings.seed) for number in range(settings.rounds)]
        source, sampling = ModelSource(case.name, "random weights", None), GenerationSettings(num_steps=case.num_steps)
        self.task = Task(
            source, (), pairs, sampling, BenchSpec(models={case.name: ModelEntry()}, batch=case.latent[0], images=0)
        )
        self._bench = Benchmark([self.task], title=case.title, command=settings.command)
        self._path, self._device, self._say = path, device, say
        self._properties = {
            "tiny": settings.tiny,
            "parameters": self.parameters,
            "weights_bytes": self.weights_bytes,
            "config": dict(case.config),
            "scheduler": dict(case.scheduler),
            "latent_shape": list(case.latent),
            "text_tokens": list(case.text_tokens),
            "tap": str(case.tap),
            "seed": settings.seed,
        }

    def measure_bandwidth(self, denoiser: Denoiser, measured: Measured) -> None:
        """Of each kind of predictor; a note where that fails: the times are good without it."""
        try:
            self.bandwidth = _bandwidths(denoiser, measured, self._device)
        except Exception as error:
            self.notes.append(f"No bandwidth was measured: {in_one_line(error)}")
            self._device.free()

    def save(self, measured: Measured) -> Results:
        """The results so far, in the unfinished file."""
        results = assemble(self._bench, [measured])
        (found,) = results.models
        details = {
            name: each.model_copy(update={"bandwidth": self.bandwidth.get(name)})
            for name, each in found.details.items()
        }
        model = found.model_copy(update={"pairs": [], "details": details, "properties": self._properties})
        return self._written(results.model_copy(update={"models": [model], "notes": self.notes}))

    def finish(self, measured: Measured) -> Results:
        """All results, in the file itself."""
        results = self.save(measured)
        if self._path is not None:
            write_text(self._path, _text(results))
            unfinished(self._path).unlink()
            self._say(f"written to {self._path}")
        return results

    def stop(self, measured: Measured, reason: str) -> Results:
        """The results of a run that could not go on."""
        self.notes.append(f"{STOPPED} {reason}")
        return self._told(self.save(measured))

    def fail(self, reason: str) -> Results:
        """Results without rows; they are not written over those that an earlier run has."""
        self.notes.append(f"Failed: {reason}")
        model = ModelResults(
            model=self.task.source.name, num_steps=self.task.settings.num_steps, batch=self.task.spec.batch,
            properties=self._properties,
        )  # fmt: skip
        results = Results(
            title=self._bench.title, rows=[], models=[model], command=self._bench.command,
            environment=self.environment, notes=self.notes,
        )  # fmt: skip
        if self._path is not None and _has_rows(unfinished(self._path)):
            self._say(f"{self.notes[-1]}; {unfinished(self._path)} keeps what an earlier run has measured")
            return results
        return self._told(self._written(results))

    def _written(self, results: Results) -> Results:
        if self._path is not None:
            write_text(unfinished(self._path), _text(results))
        return results

    def _told(self, results: Results) -> Results:
        if self._path is not None:
            self._say(f"did not come to its end; written to {unfinished(self._path)}")
        return results


def _has_rows(path: Path) -> bool:
    try:
        return bool(read_results(path).rows)
    except ConfigError:  # it is not there, or nothing can read it
        return False


def _text(results: Results) -> str:
    return results.model_dump_json(indent=1) + "\n"


def _round_seconds(measured: Measured) -> float:
    """How long the last round took."""
    return sum(row.runs[-1].seconds for row in measured.rows if row.runs and row.error is None)


def _bandwidths(denoiser: Denoiser, measured: Measured, device: Device) -> dict[str, Bandwidth]:
    """Of the first method of each kind of predictor."""
    found: dict[type, tuple[str, Bandwidth]] = {}
    for row in measured.rows:
        strategy = row.contender.strategy
        if not row.runs or row.error is not None or strategy is None or type(strategy.predictor) in found:
            continue
        reached = measure_bandwidth(denoiser, strategy, device)
        if reached is not None:
            found[type(strategy.predictor)] = (row.contender.name, reached)
    return dict(found.values())
