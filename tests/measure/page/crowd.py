"""The made-up results with two more models and many more peers, whose names and notes are long."""

from __future__ import annotations

from functools import cache

from lesa_framework.measure.details import Details
from lesa_framework.measure.results import Kind, Results, Row
from tests.measure.page.samples import PICTURES, STEPS, VIDEOS, sample_results

PEERS, FAR = 9, 34.3
NOTE = "threshold = 1.0, blocks = 1, warmup = 8 does 14.04, more than 10. " * 6
SKIPPED = "not measured: lpips: torchvision is not installed"


@cache
def crowded_results() -> Results:
    """The same every time."""
    results = sample_results()
    peers = [_peer(number) for number in range(PEERS)]
    pictures, videos = results.models
    curve = Details(step_rel_l2=[0.3 + step / 50 for step in range(STEPS)], plans={"cond": "F" + "1" * 49})
    pictures = pictures.model_copy(update={"details": {**pictures.details, **{row.name: curve for row in peers}}})
    others = [videos.model_copy(update={"model": f"reference:other_{name}"}) for name in "ab"]
    copies = [
        row.model_copy(update={"model": other.model}) for other in others for row in results.rows if row.model == VIDEOS
    ]
    return results.model_copy(
        update={
            "rows": [*results.rows, *peers, *copies],
            "models": [pictures, videos, *others],
            "notes": [*results.notes, SKIPPED, SKIPPED.replace("lpips", "clip_score")],
        }
    )


def _peer(number: int) -> Row:
    """The first does far more work than it may; the second lies almost where one of ours does."""
    name = f"somebody_elses_block_cache_{number}"
    ours = next(row for row in sample_results().rows if row.name == "ref-flux-reuse-n7")
    psnr = (ours.psnr_db or 0.0) + 0.05 if number == 1 else 11.0 + number / 2
    return Row(
        model=PICTURES, name=f"{name}_10", kind=Kind.PEER, family=name, nfe=10, num_steps=STEPS,
        work=10 if number else FAR, psnr_db=psnr, seconds=0.06, cache_bytes=2**20, note=NOTE,
    )  # fmt: skip
