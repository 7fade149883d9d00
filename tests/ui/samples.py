"""Made-up comparisons."""

from __future__ import annotations

import torch

from lesa_framework.report import CallReport, RunReport
from lesa_framework.types import Choice, Decision, Reason, RunInfo, Samples, StepRecord, Tap
from lesa_framework.ui.asked import Asked, Sampled
from lesa_framework.ui.studio import Outcome

SIGMAS = (1.0, 0.9, 0.6, 0.2, 0.0)
CHOICE = Choice("ref-x", "lesa", "preset", "fitted to this model, grid and size", 2, 4)


def sample_run(plans: dict[str, str], choice: Choice | None = None, reason: Reason = Reason.SCHEDULE) -> RunReport:
    """A run of four steps; a plan has a letter for each, F computed and P predicted."""
    records = tuple(
        StepRecord(step, branch, 0, *((Decision.COMPUTE, reason) if letter == "F" else _PREDICTED))
        for branch, plan in plans.items()
        for step, letter in enumerate(plan)
    )
    return RunReport(RunInfo(SIGMAS, "flux", Tap.PRE_HEAD), records, 0, 1.0, choice=choice)


_PREDICTED = (Decision.PREDICT, Reason.PREDICTED)


def sample_outcome(
    run: RunReport,
    method: str = "automatic",
    seconds: tuple[float, float] = (4.0, 2.5),
    scores: tuple[float | None, float | None] = (31.24, 0.9876),
    *,
    frames: int = 1,
    was_kept: bool = False,
    notes: tuple[str, ...] = (),
) -> Outcome:
    """A comparison of which only these are of interest."""
    shape = (1, 3, 8, 8) if frames == 1 else (1, frames, 3, 8, 8)
    uncached, cached = (
        Samples(torch.full(shape, shade), torch.zeros(1, 2), time)
        for shade, time in zip((0.0, 1.0), seconds, strict=True)
    )
    found = dict(zip(("psnr_db", "ssim"), scores, strict=True))
    asked = Asked(Sampled("m", "a ring", 0, 4), method, 2.0)
    return Outcome(asked, uncached, cached, CallReport((run,)), found, was_kept, notes)
