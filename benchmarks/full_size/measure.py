"""The measurement of one model: every method is counted once, then all are timed in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import MethodType

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.full_size.bandwidth import measure_bandwidth
from benchmarks.full_size.device import Device
from benchmarks.full_size.methods import UNCACHED, Method
from benchmarks.full_size.results import Bandwidth
from benchmarks.full_size.sampler import Denoiser
from benchmarks.full_size.stopwatch import Stopwatch, split
from benchmarks.full_size.trial import Counted, Trial
from lesa_framework import RunInfo, RunReport, StepRecord, Strategy, find_adapter
from lesa_framework.api import attach_strategy


@dataclass
class Race:
    """Methods on one model.

    Args:
        denoiser: Model, inputs and sampler.
        device: Where they are.
        methods: What is compared, the bare model first.
        say: Told about progress.
        deadline: `time.monotonic()` behind which nothing more is begun.
    """

    denoiser: Denoiser
    device: Device
    methods: Sequence[Method]
    say: Callable[[str], None]
    deadline: float
    trials: list[Trial] = field(init=False)
    _clean: list[object] = field(init=False)

    def __post_init__(self) -> None:
        self.trials = [Trial(method) for method in self.methods]
        self._clean = fingerprint(self.denoiser.transformer)

    @property
    def uncached(self) -> Trial:
        """The bare model's."""
        return next(trial for trial in self.trials if trial.method.name == UNCACHED)

    def first_round(self) -> None:
        """Warm every method up, count what it computes and keeps, and time it."""
        gc.collect()
        for trial in self.trials:
            if self.trials[0].error is not None:
                trial.error = trial.error or "not run: the uncached model failed"
            elif time.monotonic() > self.deadline:
                trial.error = "not run: the time budget was spent (raise --budget, or choose with --methods)"
            else:
                self._guarded(trial, self._count)
                self._guarded(trial, self._time)

    def next_round(self) -> bool:
        """Time every method once more; False when there is no time left for a whole round."""
        running = [trial for trial in self.trials if trial.error is None]
        expected = sum(trial.seconds[-1] for trial in running)
        if not running or time.monotonic() + expected > self.deadline:
            return False
        gc.collect()  # now, and hopefully not within a run
        for trial in running:
            self._guarded(trial, self._time)
        return True

    def bandwidths(self) -> list[Bandwidth]:
        """Of the first method of each kind of predictor."""
        found: dict[type, Bandwidth] = {}
        for trial in self.trials:
            strategy = trial.method.strategy
            if trial.error is not None or strategy is None or type(strategy.predictor) in found:
                continue
            feature, sigmas = self._feature(strategy), self.denoiser.grid(trial.method.num_steps)
            measured = measure_bandwidth(trial.method.name, strategy, feature, sigmas, self.device)
            if measured is not None:
                found[type(strategy.predictor)] = measured
        return list(found.values())

    def _guarded(self, trial: Trial, act: Callable[[Trial], None]) -> None:
        """Whatever goes wrong in a method is that method's row, unless the model is left changed."""
        if trial.error is not None:
            return
        try:
            act(trial)
        except Exception as error:  # peers raise what they like
            trial.error = _told(error)
            self.say(f"{trial.method.name}: {trial.error}")
        if trial.error is not None:
            self.device.free()
        if fingerprint(self.denoiser.transformer) != self._clean:
            trial.error = f"{trial.error or 'ran'}; it left the model changed"
            for other in self.trials:
                other.error = other.error or (None if other.runs else f"not run: {trial.method.name} spoilt the model")
            raise SpoiltError(trial.method.name)

    def _count(self, trial: Trial) -> None:
        """Warm up, and count operations over as few steps as tell them all."""
        method = trial.method
        self.say(f"{method.name}: warming up and counting")
        steps = method.num_steps if method.counted is None else min(method.counted, method.num_steps)
        with method.attach(self.denoiser) as attached, FlopCounterMode(display=False) as counter:
            self.denoiser.run(method.num_steps, steps)
            computed = attached.report.nfe if attached.report is not None else steps
        trial.counted = Counted(counter.get_total_flops(), steps, computed)

    def _time(self, trial: Trial) -> None:
        device, method = self.device, trial.method
        _, adapter = find_adapter(self.denoiser.transformer, self.denoiser.case.name)
        watch = Stopwatch(device, self.denoiser.transformer, adapter)
        device.synchronize()
        before = device.held_bytes()
        device.reset_peak()
        with watch.running(), method.attach(self.denoiser) as attached:
            device.synchronize()
            start = time.perf_counter()
            self.denoiser.run(method.num_steps)
            device.synchronize()
            seconds = time.perf_counter() - start
            trial.report, trial.settings, trial.note = attached.report, attached.settings, attached.note
            trial.cache_bytes = self._kept(trial.report, before)
        trial.peak_bytes = device.peak_bytes()
        trial.runs.append((seconds, split(watch.calls, device, seconds)))
        self.say(f"{method.name}: {seconds:.3f} s")

    def _kept(self, report: RunReport | None, before: int | None) -> int | None:
        if report is not None:
            return report.cache_bytes
        now = self.device.held_bytes()
        return None if now is None or before is None else max(now - before, 0)

    def _feature(self, strategy: Strategy) -> Tensor:
        """The feature of a first step."""
        catch, case = _Catch(), self.denoiser.case
        with attach_strategy(self.denoiser, strategy, case.name, case.tap, observers=(catch,)):
            self.denoiser.run(case.num_steps, stop=1)
        assert catch.feature is not None
        return catch.feature


class SpoiltError(RuntimeError):
    """A method left the model changed, so that nothing after it would mean anything."""


class _Catch:
    """Keeps the last feature."""

    feature: Tensor | None = None

    def lesa_run_start(self, run: RunInfo) -> None:
        """Nothing."""

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:  # noqa: ARG002
        """Keep a copy: the engine lends it."""
        self.feature = feature.clone()

    def lesa_run_end(self, report: RunReport) -> None:
        """Nothing."""


def fingerprint(model: nn.Module) -> list[object]:
    """What a cache might change and forget to put back: modules, their forwards and their hooks."""
    return [
        (
            name,
            type(module),
            module.__dict__.get("forward", MethodType(type(module).forward, module))
            == MethodType(type(module).forward, module),
            len(module._forward_hooks) + len(module._forward_pre_hooks),
        )
        for name, module in model.named_modules()
    ]


def _told(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]
