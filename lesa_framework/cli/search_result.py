"""What `lesa search` says at its end: the files, how close the result is, and how sure that is."""

from __future__ import annotations

import json

import typer

from lesa_framework.cli import console
from lesa_framework.cli.try_it import try_it
from lesa_framework.search.record import FEW, Record, Tried
from lesa_framework.search.run import Found
from lesa_framework.words import amount


def tell(found: Found, *, as_json: bool) -> None:
    """Print the result, and what a reader has to know of it."""
    record, best, final = found.record, found.record.outcome, found.record.final
    assert best is not None
    even = record.compared[0]
    if found.exhausted:
        count = len(record.tried)
        choices = "1 choice of steps, and it was tried" if count == 1 else f"{count} choices of steps; all were tried"
        console.note(f"this budget leaves '{record.about['predictor']}' {choices}.")
    elif len(record.tried) < FEW:
        console.note(
            f"only {len(record.tried)} candidates were tried; a search needs some dozens to find much. "
            "The same command with more --minutes or --tries goes on."
        )
    if found.earlier:
        console.note(
            f"nothing is left to do: {found.config} is from this search. Give it more --minutes or --tries to go on."
        )
    reversal = overturned(record, best)
    if reversal:
        console.note(reversal)
    if as_json:
        result = {
            "config": str(found.config),
            "weights": None if found.weights is None else str(found.weights),
            "record": str(found.log),
            "page": str(found.page),
            "steps": list(best.steps),
            "judged_db": best.mean,
            "even_db": even.mean,
            "final_db": None if final is None else final.mean,
            "judged_prompts": len(even.db),
            "closer_prompts": closer_prompts(best, even),
            "tries": len(record.tried),
            "seconds": round(record.seconds, 1),
        }
        typer.echo(json.dumps(result, indent=2))
        return
    print_ = console.results().print
    wrote = "" if found.earlier else "wrote "
    guide = record.about["guide"]
    tried = f"; both with '{guide}'" if guide != record.about["predictor"] else ""
    lines = [
        f"{wrote}{found.config} ({best.mean:.2f} dB in the comparison; even steps {even.mean:.2f} dB{tried})",
        *closer_on(best, even),
        *finished_fit(best, final),
        f"computes {' '.join(map(str, best.steps))}: the best of {len(record.tried)} tried",
        f"what was tried: {found.page}",
        *try_it(found.config),
    ]
    for line in lines:
        print_(line, soft_wrap=True)


def finished_fit(judged: Tried, final: Tried | None) -> list[str]:
    """The line that says how close the finished fit is; none where it is the fit of the comparison once more."""
    if final is None or final.db == judged.db:
        return []
    return [f"fitted with the real settings: {final.mean:.2f} dB on the same prompts"]


def closer_prompts(written: Tried, even: Tried) -> int | None:
    """On how many prompts of the comparison the written steps are closer: one prompt may make the mean.

    None where the written steps are the even ones.
    """
    if written.steps == even.steps:
        return None
    return sum(one > other for one, other in zip(written.db, even.db, strict=True))


def closer_on(written: Tried, even: Tried) -> list[str]:
    """The line that says it to people; none where the written steps are the even ones."""
    closer = closer_prompts(written, even)
    if closer is None:
        return []
    return [f"closer than even steps on {closer} of the {amount(len(even.db), 'prompt')} in the comparison"]


def overturned(record: Record, written: Tried) -> str | None:
    """What to say where the comparison alone would choose other steps: than the search, or than what was written."""
    best, even = record.best, next(iter(record.compared), written)
    behind, counts = even.mean > written.mean, "what was written is closer, so it counts as the best"
    if best is None or best.steps == written.steps:
        alone = "in the comparison alone, even steps are closer."
        return f"{alone} On the prompts of the search and of the comparison together, {counts}." if behind else None
    overturns = f"the comparison overturns the search, whose best was {' '.join(map(str, best.steps))}."
    if written.steps != even.steps:
        though = ", though in the comparison alone even steps are closer" if behind else ""
        return f"{overturns} On the prompts of both together, {counts}{though}."
    return (
        f"{overturns} On the prompts of both together nothing was closer than even steps, so those were written. The "
        "same command with more --minutes or --tries goes on; another tap (--set backbone.tap=pre_head) or a fit by "
        "gradient (lesa train --config FILE --set training.fit=end_to_end --out DIR) may bring more."
    )
