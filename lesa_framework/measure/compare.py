"""Runs several methods on the same prompts and seeds, side by side, and measures each against the uncached run.

Timing is interleaved: every method runs on a batch before the next batch begins, so that a machine that
gets slower or faster does so for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from lesa_framework.api import attach_strategy
from lesa_framework.errors import LesaError
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.measure.cells import Turn
from lesa_framework.measure.methods import Method, fewer_steps, uncached
from lesa_framework.measure.results import Details, Kind, Pair, Row
from lesa_framework.measure.scoring import Metrics, load_metrics, mean, scored
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.types import RunReport, Samples


class Watcher(Protocol):
    """Is told how far a comparison is."""

    def expect(self, steps: int) -> None:
        """So many steps of the sampler are to come in all."""

    def step(self, method: str) -> None:
        """A method made a step."""


class Unwatched:
    """Nobody looks."""

    def expect(self, steps: int) -> None:
        """Nothing to do."""

    def step(self, method: str) -> None:
        """Nothing to do."""


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        rows: One for each method: `uncached`, the configurations, then the plain runs with fewer steps.
        details: Row name -> values pair by pair.
        images: Row name -> data URIs of the first pairs' samples.
        frames: Frames of a sample.
    """

    rows: list[Row]
    details: dict[str, Details]
    images: dict[str, list[str]]
    frames: int


@dataclass
class _Tally:
    """What is known of one method so far."""

    method: Method
    nfe: int = 0
    cache_bytes: int = 0
    turns: list[Turn] = field(default_factory=list)
    plans: dict[str, str] = field(default_factory=dict)
    fallbacks: dict[str, int] = field(default_factory=dict)


def compare(
    pipe: CallablePipeline,
    methods: Sequence[Method],
    pairs: Sequence[Pair],
    settings: GenerationSettings,
    *,
    batch: int = 8,
    model: str = "",
    metrics: Metrics | None = None,
    keep: int = 0,
    watcher: Watcher | None = None,
) -> Comparison:
    """Run the comparison.

    Args:
        pipe: The pipeline; no session may be attached.
        methods: The cached ones, from `cached_methods`; the plain ones are added here.
        pairs: Prompts and seeds.
        settings: Steps and further arguments of the uncached run.
        batch: Pairs a call of the pipeline.
        model: The model's name, for the rows.
        metrics: What is measured of the samples; by default what always is.
        keep: Of how many pairs, from the first, the images are kept.
        watcher: Is told about progress.

    Raises:
        LesaError: A method made images that are not finite.
    """
    watch = watcher or Unwatched()
    metrics = metrics or load_metrics((), next(pipe.transformer.parameters()).device)
    batches = [pairs[start : start + batch] for start in range(0, len(pairs), batch)]
    plain = [fewer_steps(nfe) for nfe in sorted({method.nfe for method in methods})]
    line_up = [uncached(settings.num_steps), *methods, *plain]
    warm_ups = [(uncached(2), batches[0]), *((method, batches[0][:1]) for method in methods)]
    watch.expect(
        sum(method.num_steps for method, _ in warm_ups) + len(batches) * sum(method.num_steps for method in line_up)
    )
    for method, group in warm_ups:  # untimed: allocators, kernels, and mistakes that show before hours of work
        _run(pipe, method, group, settings, watch)
    tallies = [_Tally(method) for method in line_up]
    references: list[Samples] = []
    for group in batches:
        for tally in tallies:
            samples, report = _run(pipe, tally.method, group, settings, watch)
            if tally is tallies[0]:
                references.append(samples)
            _add(tally, samples, report, references[-1], group, metrics, keep)
    # A schedule that looks at the data may have computed other numbers of steps than planned.
    extra = {tally.nfe for tally in tallies[1:]} - {tally.method.num_steps for tally in tallies if not tally.plans}
    for nfe in sorted(extra):
        tally = _Tally(fewer_steps(nfe))
        for group, reference in zip(batches, references, strict=True):
            samples, report = _run(pipe, tally.method, group, settings, watch)
            _add(tally, samples, report, reference, group, metrics, keep)
        tallies.append(tally)
    return Comparison(
        [_row(tally, tallies[0], len(pairs), model) for tally in tallies],
        {tally.method.name: _details(tally) for tally in tallies},
        {tally.method.name: [image for turn in tally.turns for image in turn.images] for tally in tallies if keep},
        references[0].images.shape[1] if references[0].images.ndim == 5 else 1,
    )


def _run(
    pipe: CallablePipeline, method: Method, group: Sequence[Pair], settings: GenerationSettings, watch: Watcher
) -> tuple[Samples, RunReport | None]:
    prompts, seeds = [pair.prompt for pair in group], [pair.seed for pair in group]
    wanted = settings.with_steps(method.num_steps)

    def on_step(index: int) -> None:  # noqa: ARG001
        watch.step(method.name)

    if method.config is None or method.strategy is None:
        return generate_batch(pipe, prompts, seeds, wanted, on_step), None
    backbone = method.config.backbone
    with attach_strategy(pipe, method.strategy, backbone, backbone.tap) as session:
        samples = generate_batch(pipe, prompts, seeds, wanted, on_step)
        report = session.report
    if not bool(torch.isfinite(samples.latents).all()):
        raise LesaError(f"{method.name}: the latents became NaN or infinite. Check the predictor's weights.")
    return samples, report


def _add(
    tally: _Tally,
    samples: Samples,
    report: RunReport | None,
    reference: Samples,
    group: Sequence[Pair],
    metrics: Metrics,
    keep: int,
) -> None:
    missing = max(0, keep - sum(len(turn.images) for turn in tally.turns))
    tally.turns.append(scored(samples, reference, group, metrics, "", missing))
    if report is None:
        tally.nfe = tally.method.num_steps
        return
    tally.nfe = max(tally.nfe, report.nfe)
    tally.cache_bytes = max(tally.cache_bytes, report.cache_bytes)
    tally.plans = tally.plans or {branch: report.plan(branch) for branch in report.branches}
    for reason, count in report.fallbacks.items():
        tally.fallbacks[reason.value] = tally.fallbacks.get(reason.value, 0) + count


def _row(tally: _Tally, reference: _Tally, pairs: int, model: str) -> Row:
    config = tally.method.config
    kind = Kind.CACHE if config is not None else Kind.UNCACHED if tally is reference else Kind.FEWER_STEPS
    seconds, uncached_seconds = (sum(turn.seconds for turn in each.turns) for each in (tally, reference))
    return Row(
        model=model,
        name=tally.method.name,
        kind=kind,
        family=kind.value if config is None else config.predictor.kind,
        nfe=tally.nfe,
        num_steps=tally.method.num_steps,
        seconds=seconds / pairs,
        speedup=uncached_seconds / seconds,
        cache_bytes=tally.cache_bytes,
        **{name: mean(values) for name, values in _details(tally).scores.items()},
    )


def _details(tally: _Tally) -> Details:
    return Details(
        scores={name: [value for turn in tally.turns for value in turn.scores[name]] for name in tally.turns[0].scores},
        seconds=[turn.seconds for turn in tally.turns],
        plans=tally.plans,
        fallbacks=tally.fallbacks,
    )
