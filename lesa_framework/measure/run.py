"""A whole evaluation: model, configurations and prompts in, results and images out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesa_framework.config.loading import dump_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.generation import GenerationSettings, check_call
from lesa_framework.measure.assembly import portable
from lesa_framework.measure.compare import Comparison, Watcher, compare
from lesa_framework.measure.environment import environment
from lesa_framework.measure.methods import cached_methods
from lesa_framework.measure.planning import build_strategies
from lesa_framework.measure.rows import Pair, Results
from lesa_framework.pipelines import ModelSource, load_pipeline
from lesa_framework.plugin.registry import Scorer

_PACKAGES = ("lesa-framework", "torch", "diffusers", "transformers")


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


def evaluate(task: Evaluation, *, keep: int = 0, watcher: Watcher | None = None) -> tuple[Results, Comparison]:
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
    scorer, notes = load_scorer(task.source)
    comparison = compare(
        pipe, methods, task.pairs, task.settings, batch=task.batch, scorer=scorer, keep=keep, watcher=watcher
    )
    weight = next(pipe.transformer.parameters())
    results = Results(
        model=task.source.name,
        num_steps=task.settings.num_steps,
        rows=comparison.rows,
        pairs=list(task.pairs),
        details=comparison.details,
        configs={config.name: dump_config(portable(config)) for config in task.configs},
        call=task.settings.call,
        batch=task.batch,
        command=task.command,
        environment=environment(weight.device, weight.dtype),
        notes=notes,
    )
    return results, comparison


def load_scorer(source: ModelSource) -> tuple[Scorer | None, list[str]]:
    """What judges a model's pictures by their captions, if it has such a thing; and why not, if it should have."""
    if source.named is None or source.named.scorer is None:
        return None, []
    try:
        return source.named.scorer(), []
    except OSError as error:
        return None, [f"caption_score is missing: the judge of {source.name} could not be loaded ({error})."]
