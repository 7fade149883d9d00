"""A whole evaluation: model, configurations and prompts in, results and images out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesa_framework.config.loading import dump_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.generation import GenerationSettings, check_call
from lesa_framework.measure.assembly import portable
from lesa_framework.measure.compare import Watcher, compare
from lesa_framework.measure.environment import environment
from lesa_framework.measure.intervals import differences
from lesa_framework.measure.methods import cached_methods
from lesa_framework.measure.planning import build_strategies
from lesa_framework.measure.results import ModelResults, Pair, Results, Source
from lesa_framework.measure.scoring import load_metrics
from lesa_framework.pipelines import ModelSource, load_pipeline

_TITLE = "What predicting most steps costs"


@dataclass(frozen=True)
class Evaluation:
    """What to run.

    Attributes:
        source: The model.
        configs: The caches to compare.
        pairs: Prompts and seeds.
        settings: Steps and further arguments of the pipeline.
        batch: Pairs a call.
        device: Where to; None chooses.
        command: The command line, for the record.
    """

    source: ModelSource
    configs: Sequence[LesaConfig]
    pairs: Sequence[Pair]
    settings: GenerationSettings
    batch: int = 8
    device: str | None = None
    command: str = ""


def evaluate(task: Evaluation, *, keep: int = 0, watcher: Watcher | None = None) -> Results:
    """Run an evaluation; everything that can be wrong is checked before the first image.

    Args:
        task: What to run.
        keep: Of how many pairs the images are kept.
        watcher: Is told about progress.

    Raises:
        LesaError: Model, configurations or arguments do not fit.
    """
    if not task.pairs:
        raise ConfigError("prompts: there are none. Put one prompt on each line of the file.")
    strategies = build_strategies(task.configs)
    pipe = load_pipeline(task.source, device=task.device)
    check_call(pipe, task.settings.call)
    methods = cached_methods(pipe, task.configs, strategies, task.settings)
    weight = next(pipe.transformer.parameters())
    metrics = load_metrics(task.source.named.metrics if task.source.named else (), weight.device)
    comparison = compare(
        pipe, methods, task.pairs, task.settings, batch=task.batch, model=task.source.name, metrics=metrics, keep=keep,
        watcher=watcher,
    )  # fmt: skip
    configs = {config.name: dump_config(portable(config)) for config in task.configs}
    found = ModelResults(
        model=task.source.name,
        num_steps=task.settings.num_steps,
        batch=task.batch,
        call=task.settings.call,
        pairs=list(task.pairs),
        details=comparison.details,
        sources={row.name: Source(config=configs.get(row.name, ""), command=task.command) for row in comparison.rows},
        frames=comparison.frames,
        images=comparison.images,
    )
    return Results(
        title=_TITLE,
        rows=comparison.rows,
        differences=differences(comparison.rows, found),
        models=[found],
        metrics=dict(metrics.described),
        command=task.command,
        environment=environment(weight.device, weight.dtype),
        notes=list(metrics.notes),
    )
