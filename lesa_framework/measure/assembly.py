"""From finished cells to results."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lesa_framework.config.loading import dump_config
from lesa_framework.measure import metrics
from lesa_framework.measure.cells import Choice, Probe, Turn
from lesa_framework.measure.contenders import Contender
from lesa_framework.measure.results import BenchResults, BenchRow, Kind, MethodDetails, MetricInfo, ModelResults, Source
from lesa_framework.measure.run import portable
from lesa_framework.measure.scoring import Judges
from lesa_framework.measure.spec import BenchFile
from lesa_framework.measure.statistics import differences
from lesa_framework.measure.tasks import Task
from lesa_framework.plugin.manager import plugins


@dataclass(frozen=True)
class MeasuredRow:
    """All that is known of one contender.

    Attributes:
        contender: Whom.
        choice: Of peers, what they were set to.
        probe: The untimed run.
        turns: The timed runs, one a batch; none after a failed probe.
    """

    contender: Contender
    choice: Choice | None
    probe: Probe
    turns: Sequence[Turn]

    @property
    def error(self) -> str | None:
        """Why there are no numbers."""
        return next((found for found in (self.probe.error, *(turn.error for turn in self.turns)) if found), None)


@dataclass(frozen=True)
class Measured:
    """One model's part.

    Attributes:
        task: What was run.
        rows: The uncached run first.
        sizes: Samples of each batch.
        judges: What images were judged by.
        frames: Frames of a sample.
    """

    task: Task
    rows: Sequence[MeasuredRow]
    sizes: Sequence[int]
    judges: Judges
    frames: int


def assemble(file: BenchFile, measured: Sequence[Measured], machine: Mapping[str, str], command: str) -> BenchResults:
    """Put everything together.

    Args:
        file: The benchmark.
        measured: Each model's part.
        machine: Versions and machine.
        command: The command line.
    """
    rows = [_row(each, part) for part in measured for each in part.rows]
    models = [_model(file, part) for part in measured]
    shelf = plugins().registry.metrics
    known = {name: shelf.get(name) for part in measured for name in part.judges.metrics}
    return BenchResults(
        title=file.spec.title,
        rows=rows,
        differences=[
            difference
            for found in models
            for difference in differences([row for row in rows if row.model == found.model], found)
        ],
        models=models,
        metrics={
            name: MetricInfo(heading=metric.heading, higher_is_better=metric.higher_is_better)
            for name, metric in known.items()
        },
        spec=file.raw,
        command=command,
        environment=dict(machine),
        notes=list(dict.fromkeys(note for part in measured for note in part.judges.notes)),
    )


def _row(row: MeasuredRow, part: Measured) -> BenchRow:
    contender = row.contender
    described = BenchRow(
        model=part.task.source.name,
        name=contender.name,
        kind=contender.kind,
        family=contender.family,
        schedule=contender.schedule,
        target_nfe=contender.target,
        num_steps=contender.num_steps,
        settings={} if row.choice is None else row.choice.settings,
        note="" if row.choice is None else row.choice.note,
        error=row.error,
    )
    if row.error is not None:
        return described
    found, bare = _details(row), part.rows[0]
    speedup, remark = _speedup(row.turns, bare.turns)
    return described.model_copy(
        update={
            "nfe": row.probe.nfe,
            "psnr_db": None if contender.kind is Kind.UNCACHED else metrics.mean(found.psnr_db),
            "ssim": metrics.mean(found.ssim),
            "rel_l2": metrics.mean(found.rel_l2),
            "feature_rel_l2": metrics.mean(found.step_rel_l2),
            "caption_score": metrics.mean(found.caption_score),
            "scores": {name: metrics.mean(values) for name, values in found.scores.items()},
            "seconds": median(turn.seconds / size for turn, size in zip(row.turns, part.sizes, strict=True)),
            "speedup": speedup,
            "flops": None if row.probe.flops is None else row.probe.flops // part.sizes[0],
            "cache_bytes": row.probe.cache_bytes,
            "peak_bytes": row.probe.peak_bytes,
            "note": " ".join(
                filter(None, [described.note, _fallbacks(row.probe), _identical(contender, found), remark])
            ),
        }
    )


def _speedup(ours: Sequence[Turn], theirs: Sequence[Turn]) -> tuple[float | None, str]:
    """Batch by batch, so that drift of the machine cancels; only of batches that both ran in one sitting."""
    together = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.sitting == b.sitting]
    if not together:
        return None, "Its times and the uncached run's are from different sittings, so there is no speed-up."
    return median(b.seconds / a.seconds for a, b in together), ""


def _identical(contender: Contender, found: MethodDetails) -> str:
    count = 0 if contender.kind is Kind.UNCACHED else found.psnr_db.count(None)
    return (
        f"{count} samples are identical to the uncached run's; they have no PSNR, and its mean leaves them out."
        if count
        else ""
    )


def _fallbacks(probe: Probe) -> str:
    reasons = ", ".join(f"{times} times: {reason}" for reason, times in probe.fallbacks.items())
    return f"Computed where a prediction was due, {reasons}." if reasons else ""


def _details(row: MeasuredRow) -> MethodDetails:
    names = row.turns[0].scores if row.turns else {}
    return MethodDetails(
        psnr_db=[value for turn in row.turns for value in turn.psnr_db],
        ssim=[value for turn in row.turns for value in turn.ssim],
        rel_l2=[value for turn in row.turns for value in turn.rel_l2],
        caption_score=[value for turn in row.turns for value in turn.caption_score],
        scores={name: [value for turn in row.turns for value in turn.scores[name]] for name in names},
        seconds=[turn.seconds for turn in row.turns],
        plans=row.probe.plans,
        fallbacks=row.probe.fallbacks,
        step_rel_l2=row.probe.step_rel_l2,
    )


def _model(file: BenchFile, part: Measured) -> ModelResults:
    good = [row for row in part.rows if row.error is None]
    return ModelResults(
        model=part.task.source.name,
        num_steps=part.task.settings.num_steps,
        batch=file.spec.batch,
        call=part.task.settings.call,
        pairs=list(part.task.pairs),
        details={row.contender.name: _details(row) for row in good},
        sources={row.contender.name: _source(file, row.contender, part) for row in part.rows},
        frames=part.frames,
        images={row.contender.name: [image for turn in row.turns for image in turn.images] for row in good},
    )


def _source(file: BenchFile, contender: Contender, part: Measured) -> Source:
    row = f"{part.task.source.name}/{contender.name}"
    return Source(
        config="" if contender.config is None else dump_config(portable(contender.config)),
        command=shlex.join(["lesa", "bench", str(file.path), "--only", row]),
    )
