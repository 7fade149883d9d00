"""Results of `lesa eval` and `lesa demo` in the form that the page is made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError
from torch import Tensor

from lesa_framework.errors import ConfigError
from lesa_framework.measure.images import data_uri
from lesa_framework.measure.results import BenchResults, BenchRow, Kind, MethodDetails, ModelResults, Source
from lesa_framework.measure.rows import UNCACHED, Results, Row
from lesa_framework.measure.statistics import differences

_UNKNOWN = "cache"
_TITLE = "What predicting most steps costs"


def from_evaluation(results: Results, images: Mapping[str, Tensor] | None = None) -> BenchResults:
    """The same numbers as a benchmark of one model, in which every method competes at the steps that it computed.

    Args:
        results: What was measured.
        images: Row name -> images of the first pairs, in [0, 1]; videos have frames behind the first axis.
    """
    pictures = images or {}
    rows = [_row(results, row) for row in results.rows]
    found = ModelResults(
        model=results.model,
        num_steps=results.num_steps,
        batch=results.batch,
        call=results.call,
        pairs=results.pairs,
        details={
            name: MethodDetails(
                psnr_db=details.psnr_db,
                ssim=details.ssim,
                rel_l2=details.rel_l2,
                caption_score=details.caption_score,
                seconds=details.seconds,
                plans=details.plans,
                fallbacks=details.fallbacks,
            )
            for name, details in results.details.items()
        },
        sources={name: Source(config=config, command=results.command) for name, config in results.configs.items()},
        frames=max((batch.shape[1] for batch in pictures.values() if batch.ndim == 5), default=1),
        images={name: [data_uri(image) for image in batch] for name, batch in pictures.items()},
    )
    return BenchResults(
        title=_TITLE,
        rows=rows,
        models=[found],
        differences=differences([row for row in rows if row.name in found.details], found),
        command=results.command,
        environment=results.environment,
        notes=results.notes,
    )


def read_evaluation(path: Path) -> BenchResults:
    """Read a results file of `lesa eval` or `lesa demo`; it holds no images.

    Raises:
        ConfigError: It is none.
    """
    try:
        return from_evaluation(Results.model_validate_json(path.read_bytes()))
    except ValidationError as error:
        raise ConfigError(
            f"{path}: is not a results file. Give one that `lesa bench`, `lesa eval` or `lesa demo` wrote."
        ) from error


def _row(results: Results, row: Row) -> BenchRow:
    kind = Kind.UNCACHED if row.name == UNCACHED else Kind.CACHE if row.name in results.configs else Kind.FEWER_STEPS
    return BenchRow(
        model=results.model,
        name=row.name,
        kind=kind,
        family=_predictor(results.configs[row.name]) if kind is Kind.CACHE else kind.value,
        target_nfe=row.nfe,
        num_steps=row.num_steps,
        nfe=row.nfe,
        psnr_db=row.psnr_db,
        ssim=row.ssim,
        rel_l2=row.rel_l2,
        caption_score=row.caption_score,
        seconds=row.seconds,
        speedup=row.speedup,
        cache_bytes=row.cache_bytes,
    )


def _predictor(config: str) -> str:
    """The predictor's kind; whatever else a file may hold there is a cache of no known kind."""
    try:
        content = yaml.safe_load(config)
    except yaml.YAMLError:
        content = None
    section = content.get("predictor") if isinstance(content, dict) else None
    return str(section.get("kind", _UNKNOWN)) if isinstance(section, dict) else _UNKNOWN
