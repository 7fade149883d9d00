"""The claims and the rows of reference.json in docs/reference/recomputed.md, written between its markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.markup import filled, folded, signed, table
from benchmarks.recompute.claims import SYSTEMS
from benchmarks.recompute.methods import ROOT, published

PAGE = ROOT / "docs" / "reference" / "recomputed.md"


def written(text: str, found: Mapping[str, Any]) -> str:
    """The page with two tables for each model.

    Args:
        text: The page.
        found: What was measured: by model `rows`, and of each its `psnr_db` and `work`; and the judged `claims`.
    """
    claims = (_claims(model, found["claims"]) for model in found["models"])
    rows = (_rows(model, measured["rows"]) for model, measured in found["models"].items())
    return filled(text, {"claims": "\n\n".join(claims), "rows": "\n\n".join(rows)})


def _claims(model: str, claims: Sequence[Mapping[str, Any]]) -> str:
    """Those with an interval; what follows from the front table alone is in the file."""
    cells = []
    for claim in claims:
        if claim["model"] == model and len(claim["published"]) > 1:
            mean, low, high = map(signed, claim["recomputed"])
            outcome = claim["outcome"].replace("not level:", "here it is")
            published = signed(claim["published"][0], digits=2 if claim["page"] == "README.md" else 1)
            said = f"{claim['verdict']}: {outcome}"
            cells.append([claim["text"], said, published, f"{mean} ({low} to {high})"])
    return table([SYSTEMS[model][0], "claimed", "published, dB", "recomputed, dB"], cells, 2)


def _rows(model: str, measured: Mapping[str, Any]) -> str:
    """The best of the published ones first."""
    rows = published(model)
    scores = {name: row["psnr_db"] for name, row in rows.items() if row["psnr_db"] is not None}
    names = sorted((name for name in measured if name in scores), key=scores.__getitem__, reverse=True)
    again = {name: np.mean(measured[name]["psnr_db"]) for name in names}
    cells = [
        [f"`{name}`", f"{scores[name]:.2f}", f"{again[name]:.2f}", *_works(rows[name], measured[name])]
        for name in names
    ]
    correlation = spearmanr([scores[name] for name in names], [again[name] for name in names]).statistic
    heading = f"{SYSTEMS[model][0]}: {len(names)} rows of {len(scores)}, rank correlation {correlation:.2f}"
    columns = ["row", "published, dB", "recomputed, dB", "published work", "recomputed work"]
    return folded(heading, table(columns, cells, 1))


def _works(row: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    """Of a cache that decides by itself, in steps; empty for the others, whose steps are fixed."""
    if "work" not in measured:
        return ["", ""]
    return [f"{row['work']:.1f}", f"{np.mean(measured['work']):.1f}"]
