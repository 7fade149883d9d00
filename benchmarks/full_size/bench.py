"""One model from nothing to its results file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.full_size.cases import Case
from benchmarks.full_size.device import Device
from benchmarks.full_size.environment import environment
from benchmarks.full_size.measure import Race, SpoiltError
from benchmarks.full_size.methods import Method
from benchmarks.full_size.results import Bandwidth, Results, save
from benchmarks.full_size.sampler import build_denoiser, build_model
from benchmarks.full_size.trial import row_of

_NOTES = (
    "Weights and prompts are random: times and memory are those of the real model, pictures are not.",
    "LESA is untrained: its speed does not depend on its numbers.",
)


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        rounds: How often each method is timed.
        budget: Seconds for a model, building it included, after which no method is begun.
        seed: Of weights, prompts and noise.
        tiny: Whether the case is a stand-in.
        command: The command line, for the record.
    """

    rounds: int = 3
    budget: float = 480.0
    seed: int = 0
    tiny: bool = False
    command: str = ""


def run_case(
    case: Case,
    methods: Sequence[Method],
    device: Device,
    settings: Settings,
    say: Callable[[str], None],
    path: Path | None,
) -> Results:
    """Measure a model; the file is written anew after every round, so that a killed run leaves what it had.

    Args:
        case: The model.
        methods: What is compared, the bare model first.
        device: Where.
        settings: How.
        say: Told about progress.
        path: Where the results go; nowhere when None.
    """
    began = time.monotonic()
    blank = _blank(case, device, settings)
    device.free()
    say(f"{blank.title}: making {blank.parameters / 1e9:.2f} billion weights, {blank.weights_bytes / 2**30:.1f} GiB")
    try:
        denoiser = build_denoiser(case, device, settings.seed)
    except torch.OutOfMemoryError:
        return _saved(blank.model_copy(update={"error": "out of memory while the model was made"}), path)
    device.synchronize()
    say(f"made in {time.monotonic() - began:.1f} s")
    race = Race(denoiser, device, methods, say, began + settings.budget)
    bandwidth: list[Bandwidth] = []
    notes = list(blank.notes)

    def results() -> Results:
        rows = [row_of(trial, race.uncached) for trial in race.trials]
        return blank.model_copy(update={"rows": rows, "bandwidth": bandwidth, "notes": notes})

    try:
        race.first_round()
        bandwidth = race.bandwidths()
        _saved(results(), path)
        for number in range(1, settings.rounds):
            say(f"round {number + 1} of {settings.rounds}")
            if not race.next_round():
                notes.append(
                    f"The time budget of {settings.budget:.0f} s allowed {number} of {settings.rounds} rounds."
                )
                break
            _saved(results(), path)
    except SpoiltError as error:
        notes.append(f"Stopped: {error} left the model changed.")
    return _saved(results(), path)


def results_path(folder: Path, case: Case, device: Device, *, tiny: bool) -> Path:
    """Where a model's results go."""
    return folder / f"full-size-{case.name}-{device.slug}{'-tiny' if tiny else ''}.json"


def _saved(results: Results, path: Path | None) -> Results:
    if path is not None:
        save(results, path)
    return results


def _blank(case: Case, device: Device, settings: Settings) -> Results:
    """Everything that is known before anything is measured."""
    shapes = [parameter.numel() for parameter in build_model(case, torch.device("meta"), device.dtype).parameters()]
    return Results(
        model=case.name,
        title=case.title,
        tiny=settings.tiny,
        parameters=sum(shapes),
        weights_bytes=sum(shapes) * device.dtype.itemsize,
        config=dict(case.config),
        scheduler=dict(case.scheduler),
        latent_shape=case.latent,
        text_tokens=case.text_tokens,
        dtype=str(device.dtype).removeprefix("torch."),
        tap=str(case.tap),
        seed=settings.seed,
        rows=[],
        bandwidth=[],
        environment=environment(device),
        command=settings.command,
        notes=list(_NOTES),
    )
