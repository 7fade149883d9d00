"""From finished cells to results."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from statistics import median
from typing import Final

from lesa_framework.config.loading import dump_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.measure.cells import Cell, Entry
from lesa_framework.measure.details import Details, MetricInfo, Source
from lesa_framework.measure.intervals import differences
from lesa_framework.measure.matching import Measure
from lesa_framework.measure.noise import noise_note, timing_noise
from lesa_framework.measure.results import QUALITY, Kind, ModelResults, Results, Row
from lesa_framework.measure.scoring import Metrics, mean
from lesa_framework.measure.tasks import Benchmark, Task

#: The only score that is not measured on samples: the probe measures it.
FEATURE_ERROR: Final = "feature_rel_l2"
_APART: Final = "Its times and the uncached run's are from different launches, so there is no speed-up."
#: Work beside whole steps, in uncached steps, from which a row says where it went.
_VISIBLE: Final = 0.1
_FEATURES: Final = MetricInfo(
    heading="features",
    summary="Relative distance of the model's output from the uncached run's, mean over the steps of the first batch.",
    higher_is_better=False,
)


@dataclass(frozen=True)
class Measured:
    """What was measured on one model: the uncached run is the first row, and `sizes` are the samples of each batch.

    `machine` has versions, device and precision.
    """

    task: Task
    rows: Sequence[Entry]
    sizes: Sequence[int]
    metrics: Metrics
    frames: int
    machine: Mapping[str, str]


def assemble(bench: Benchmark, measured: Sequence[Measured]) -> Results:
    """Put the parts of all models together, with versions and machine."""
    described, (first, *_) = _described(measured), measured
    machine = {
        key: value for key, value in first.machine.items() if all(part.machine.get(key) == value for part in measured)
    }
    rows = [_row(each, part, described) for part in measured for each in part.rows]
    models = [_model(bench, part, machine) for part in measured]
    return Results(
        title=bench.title,
        rows=rows,
        differences=[
            difference
            for found in models
            for difference in differences([row for row in rows if row.model == found.model], found)
        ],
        models=models,
        metrics=described,
        spec=dict(bench.spec),
        command=bench.command,
        environment=machine,
        notes=list(
            filter(
                None,
                dict.fromkeys(
                    [
                        bench.note,
                        _at_once(machine),
                        noise_note(rows),
                        *(note for part in measured for note in part.metrics.notes),
                    ]
                ),
            )
        ),
    )


def _at_once(machine: Mapping[str, str]) -> str:
    """How times were taken where several processes measured; empty for one."""
    count = machine.get("processes")
    return (
        f"Times were taken while {count} processes measured at once, each its own batches. A speed-up compares runs of "
        "one process."
        if count
        else ""
    )


def _described(measured: Sequence[Measured]) -> dict[str, MetricInfo]:
    """Every score that a row may have."""
    found = {name: info for part in measured for name, info in part.metrics.described.items()}
    if any(row.probe and row.probe.step_rel_l2 for part in measured for row in part.rows):
        found[FEATURE_ERROR] = _FEATURES
    return found


def _row(row: Entry, part: Measured, described: Iterable[str]) -> Row:
    contender = row.contender
    blank = _unmeasured(row, part, described)
    if blank.error is not None:
        return blank
    found, probe = _details(row), row.completed
    ratios = _speedups(row.runs, part.rows[0].runs)
    by_steps = contender.measure is Measure.STEPS
    notes = (
        blank.note,
        _ranking(by_steps, probe.whole_steps, probe.work),
        _fallbacks(probe),
        _identical(contender.kind, found),
        "" if ratios else _APART,
    )
    return blank.model_copy(
        update={
            "work": probe.work,
            "whole_steps": probe.whole_steps if by_steps else None,
            "seconds": median(run.seconds / size for run, size in zip(row.runs, part.sizes, strict=True)),
            "speedup": median(ratios) if ratios else None,
            "timing_noise": timing_noise(row.runs, [] if contender.kind is Kind.UNCACHED else ratios),
            "flops": None if probe.flops is None else probe.flops // part.sizes[0],
            "cache_bytes": probe.cache_bytes,
            "peak_bytes": probe.peak_bytes,
            "note": " ".join(filter(None, notes)),
            **({FEATURE_ERROR: mean(found.step_rel_l2)} if FEATURE_ERROR in blank.scores else {}),
            **{name: mean(values) for name, values in found.scores.items()},
        }
    )


def _unmeasured(row: Entry, part: Measured, described: Iterable[str]) -> Row:
    """What is known of a row without its numbers."""
    contender = row.contender
    return Row(
        model=part.task.source.name,
        name=contender.name,
        kind=contender.kind,
        family=contender.family,
        schedule=contender.schedule,
        nfe=row.nfe or contender.num_steps,  # a gate that failed before it had run: as many as there are
        num_steps=contender.num_steps,
        settings=dict(row.choice.settings),
        note=row.choice.note,
        error=row.error or (None if row.runs else "not run"),
        **dict.fromkeys(described),
    )


def _speedups(ours: Sequence[Cell], theirs: Sequence[Cell]) -> list[float]:
    """Batch by batch, so that drift of the machine cancels; only for batches that both ran in the same launch."""
    return [b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True) if a.launch == b.launch]


def _ranking(by_steps: bool, whole: float | None, work: float | None) -> str:
    """What a peer is ranked by, and where its work went; empty where all of it was whole steps."""
    if whole is None or work is None:
        return ""
    elsewhere = work - whole > _VISIBLE
    if by_steps:
        extra = f" With what it computes in the others it does the work of {work:.1f}." if elsewhere else ""
        return f"Ranked by its {whole:.3g} whole steps.{extra}"
    return (
        f"Of its work, {whole:.3g} steps are whole ones; {work - whole:.3g} go into what it computes in the others."
        if elsewhere
        else ""
    )


def _identical(kind: Kind, found: Details) -> str:
    count = 0 if kind is Kind.UNCACHED else found.scores.get(QUALITY, []).count(None)
    return (
        f"{count} samples are identical to the uncached run's. They have no PSNR, so its mean is over the others."
        if count
        else ""
    )


def _fallbacks(probe: Cell) -> str:
    reasons = ", ".join(f"{times} times: {reason}" for reason, times in probe.fallbacks.items())
    return f"Computed although a prediction was due, {reasons}." if reasons else ""


def _details(row: Entry) -> Details:
    names, probe = row.runs[0].scores, row.completed
    typical = sorted(row.runs, key=lambda run: run.seconds)[(len(row.runs) - 1) // 2]
    return Details(
        scores={name: [value for run in row.runs for value in run.scores[name]] for name in names},
        seconds=[run.seconds for run in row.runs],
        plans=probe.plans,
        fallbacks=probe.fallbacks,
        step_rel_l2=probe.step_rel_l2,
        split_seconds=typical.split_seconds,
        computed_call=typical.computed_call,
        predicted_call=typical.predicted_call,
    )


def _model(bench: Benchmark, part: Measured, shared: Mapping[str, str]) -> ModelResults:
    good = [row for row in part.rows if row.runs and row.error is None]
    return ModelResults(
        model=part.task.source.name,
        num_steps=part.task.settings.num_steps,
        batch=part.task.spec.batch,
        call=part.task.settings.call,
        properties={key: value for key, value in part.machine.items() if key not in shared},
        pairs=list(part.task.pairs),
        details={row.contender.name: _details(row) for row in good},
        sources={row.contender.name: _source(bench, row, part) for row in part.rows},
        frames=part.frames,
        images={row.contender.name: [image for run in row.runs for image in run.images] for row in good},
    )


def _source(bench: Benchmark, row: Entry, part: Measured) -> Source:
    contender = row.contender
    computed = {each.contender.nfe for each in part.rows if each.contender.kind is Kind.CACHE}
    planned = part.task.spec.nfe or computed
    # A plain run may be there for a gate alone: its number of steps is not known before the gate has run,
    # and `--only` knows the rows that were planned.
    follows_a_gate = contender.kind is Kind.FEWER_STEPS and contender.nfe not in planned
    command = bench.command if bench.file is None else ""  # the page names the command of the whole
    if bench.file is not None and not follows_a_gate and contender.kind is not Kind.UNCACHED:
        chosen_on = ["--selection"] if bench.selection else []
        pattern = escape(f"{part.task.source.name}/{contender.name}")
        command = shlex.join(["lesa", "bench", str(bench.file), *chosen_on, "--only", pattern])
    return Source(config="" if contender.config is None else dump_config(portable(contender.config)), command=command)


def portable(config: LesaConfig) -> LesaConfig:
    """The configuration with bare file names: results are shared with people who have other folders."""
    names = {key: Path(value.name) for key, value in config.predictor if isinstance(value, Path)}
    return config.model_copy(update={"predictor": config.predictor.model_copy(update=names)})
