"""A comparison in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lesa_framework.measure.columns import NOISY
from lesa_framework.types import Choice, Decision
from lesa_framework.ui.asked import AUTOMATIC
from lesa_framework.ui.methods import is_bound
from lesa_framework.ui.strip import Strip, strips
from lesa_framework.ui.studio import Outcome


@dataclass(frozen=True)
class Figure:
    """A number to see at once, and what it is."""

    number: str
    meaning: str


@dataclass(frozen=True)
class Account:
    """What there is to say about a comparison.

    Attributes:
        figures: The four numbers.
        chosen: Which cache it was.
        why: Why that one.
        time: How long both runs took.
        close: How close the pictures are.
        strips: What each step did.
        notes: What was not as planned.
    """

    figures: tuple[Figure, ...]
    chosen: str
    why: str
    time: str
    close: str
    strips: tuple[Strip, ...]
    notes: tuple[str, ...]


def account(outcome: Outcome) -> Account:
    """What there is to say about a comparison."""
    report = outcome.report
    chosen, why = _choice(outcome, report.choice)
    psnr, ssim = outcome.scores.get("psnr_db"), outcome.scores.get("ssim")
    figures = (
        _speed(outcome),
        Figure(f"{report.nfe} of {report.num_steps}", "steps computed"),
        Figure(_decibels(psnr), "PSNR"),
        Figure("–" if ssim is None else f"{ssim:.3f}", "SSIM"),
    )
    return Account(figures, chosen, why, _time(outcome), _close(psnr), _strips(outcome), _notes(outcome))


def _choice(outcome: Outcome, choice: Choice | None) -> tuple[str, str]:
    asked = outcome.asked
    if choice is not None and not choice.kind:
        return "No cache", f"{_sentence(choice.reason)} Every step was computed."
    if choice is not None:
        kind = "" if choice.kind == choice.name else f"{choice.kind}, "
        return f"{choice.name} ({kind}{choice.source})", _sentence(choice.reason)
    name = asked.method.partition(":")[2]
    if is_bound(asked.method):
        return name, "You chose this preset. Its steps are its own, so the speed-up is not used."
    assert asked.method != AUTOMATIC  # it always has a choice
    return f"{name} on evenly spread steps", f"You chose it, at {asked.speedup:g}x."


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _gain(outcome: Outcome) -> float:
    return outcome.uncached.seconds / max(outcome.cached.seconds, 1e-9)


def _possible(outcome: Outcome) -> float:
    """The gain if predictions took no time; 1 where nothing was predicted."""
    records = outcome.report.records
    return len(records) / max(sum(each.decision is Decision.COMPUTE for each in records), 1)


def _speed(outcome: Outcome) -> Figure:
    gain, possible = _gain(outcome), _possible(outcome)
    if possible == 1:
        return Figure("no gain", "in speed")
    mark = NOISY if gain > possible else ""
    return Figure(f"{mark}{gain:.1f}x", "faster" if gain > 1 else "of the speed")


def _time(outcome: Outcome) -> str:
    before, after = outcome.uncached.seconds, outcome.cached.seconds
    kept = ", kept from before" if outcome.was_kept else ""
    possible = _possible(outcome)
    if possible == 1:
        return f"{after:.2f} s, and {before:.2f} s uncached{kept}: nothing was predicted, so no time was saved."
    if after >= before:
        return f"{after:.2f} s, and {before:.2f} s uncached{kept}: no time was saved."
    saved = f"{before - after:.2f} s or {100 * (1 - after / before):.0f}% saved"
    told = f"{after:.2f} s instead of {before:.2f} s uncached{kept}: {saved}."
    if before / after <= possible:
        return told
    return f"{told} The cache saves at most {possible:.1f}x: other programs ran too. Another seed times both again."


def _decibels(psnr: float | None) -> str:
    if psnr is None:
        return "–"
    return "identical" if math.isinf(psnr) else f"{psnr:.1f} dB"


def _close(psnr: float | None) -> str:
    if psnr is not None and math.isinf(psnr):
        return "Both are the same, number by number."
    return (
        "Against the uncached picture of the same prompt and seed. The higher the PSNR, the closer; "
        "an SSIM of 1 is the same picture."
    )


def _strips(outcome: Outcome) -> tuple[Strip, ...]:
    return tuple(strip for run in outcome.report.runs for strip in strips(run))


def _notes(outcome: Outcome) -> tuple[str, ...]:
    fell = tuple(
        f"{count} steps were computed although they were to be predicted: {reason}."
        for reason, count in outcome.report.fallbacks.items()
    )
    replaced = sum(count for steps in outcome.report.replaced.values() for count in steps.values())
    filled = (f"{replaced:,} predicted values were not finite and were replaced.",) if replaced else ()
    choice = outcome.report.choice
    known = f"accelerate: {choice.reason}." if choice is not None and not choice.kind else None
    warned = (note for note in outcome.notes if known is None or not note.startswith(known))
    return (*warned, *fell, *filled)
