"""The data that the page's scripts read: the numbers of plots and filters, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lesa_framework.measure.page.families import Family
from lesa_framework.measure.page.view import ModelView, RowView
from lesa_framework.measure.results import Kind


def payload(models: Sequence[ModelView], families: Iterable[Family]) -> dict[str, Any]:
    """Models, families and rows; elements of the page refer to rows by number."""
    return {
        "models": [
            {
                "name": model.found.model,
                "steps": model.found.num_steps,
                "frames": model.found.frames,
                "nfes": model.nfes,
            }
            for model in models
        ],
        "families": {
            family.name: {"label": family.label, "colour": family.colour, "shape": family.shape} for family in families
        },
        "rows": {view.number: _row(view, model.number) for model in models for view in model.rows},
    }


def _row(view: RowView, model: int) -> dict[str, Any]:
    row = view.row
    return {
        "model": model,
        "name": row.name,
        "label": view.label,
        "family": row.family,
        "uncached": row.kind is Kind.UNCACHED,
        "ours": row.kind is Kind.CACHE,
        "peer": row.kind is Kind.PEER,
        "over": view.over,
        "nfe": row.nfe,
        "psnr": row.psnr_db,
        "work": row.nfe if row.work is None else row.work,
        "seconds": row.seconds,
        "cache": row.cache_bytes,
        "best": view.best,
        "curve": view.details.step_rel_l2,
        "plan": next(iter(view.details.plans.values()), ""),
    }
