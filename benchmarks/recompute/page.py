"""The rows of reference.json in docs/reference/recomputed.md, written between its markers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.markup import filled, folded, table
from benchmarks.recompute.claims import SYSTEMS
from benchmarks.recompute.methods import ROOT, published

PAGE = ROOT / "docs" / "reference" / "recomputed.md"


def written(text: str, models: Mapping[str, Any]) -> str:
    """The page with a table for each model.

    Args:
        text: The page.
        models: What was measured, by model: `rows`, and of each its `psnr_db`.
    """
    return filled(text, {"rows": "\n\n".join(_rows(model, measured["rows"]) for model, measured in models.items())})


def _rows(model: str, measured: Mapping[str, Any]) -> str:
    """The best of the published ones first."""
    scores = {name: row["psnr_db"] for name, row in published(model).items() if row["psnr_db"] is not None}
    names = sorted((name for name in measured if name in scores), key=scores.__getitem__, reverse=True)
    cells = [[f"`{name}`", f"{scores[name]:.2f}", f"{np.mean(measured[name]['psnr_db']):.2f}"] for name in names]
    heading = f"{SYSTEMS[model][0]}: {len(names)} rows of {len(scores)}"
    return folded(heading, table(["row", "published, dB", "recomputed, dB"], cells, 1))
