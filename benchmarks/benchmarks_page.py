"""The measured part of docs/reference/benchmarks.md: every row of the reference benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.markup import ROOT, folded, header, number
from lesa_framework.measure.columns import NOISY
from lesa_framework.measure.results import IN_EVERY_ROW, Difference, Kind, ModelResults, Results, Row, ranked
from lesa_framework.measure.scoring import SKIPPED
from lesa_framework.words import steps

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"


def section(results: Results, found: ModelResults) -> str:
    """A model's part of the benchmark page."""
    machine = results.environment
    parts = [
        f"### {found.model}",
        (
            f"{len(found.pairs)} held-out prompt/seed pairs, {found.num_steps} steps, batch {found.batch}, "
            f"{where(machine)}."
        ),
    ]
    for nfe in results.nfes(found.model):
        rivals = [each for each in results.differences if (each.model, each.nfe) == (found.model, nfe)]
        parts.append(folded(f"{nfe} of {found.num_steps} steps computed", table(results, found.model, nfe)))
        if rivals:
            what = f"{nfe} of {found.num_steps} steps: {rivals[0].ours} minus each of the others, pair by pair"
            lines = "\n".join(_difference_line(each) for each in rivals)
            parts.append(folded(what, f"With 95 % intervals over prompts.\n\n{lines}"))
    return "\n\n".join(parts)


def table(results: Results, model: str, nfe: int) -> str:
    """All rows of a model at an NFE: those that compete, best first, then the excluded ones with the reason."""
    rows = results.of_model(model)
    best = ranked(rows, nfe)[:1]
    at_nfe = [row for row in rows if row.nfe == nfe and row.kind is not Kind.UNCACHED]
    ordered = sorted(at_nfe, key=lambda row: (not row.competes, -(row.psnr_db or 0.0)))
    scores = _headings(results, IN_EVERY_ROW)
    lines = [
        header(["method", "work", *scores, "s / sample", "speed-up", "cache, MiB", "peak, MiB"], words=1),
        *(_line(results, row, bold=row in best) for row in ordered),
    ]
    remarks = [f"- `{row.name}`: {_why_excluded(row)}" for row in ordered if row.exclusion]
    return "\n".join(lines) + ("\n\nExcluded:\n\n" + "\n".join(remarks) if remarks else "")


def _headings(results: Results, names: Sequence[str]) -> list[str]:
    return [results.metrics[name].heading for name in names]


def _scores(results: Results, row: Row, names: Sequence[str]) -> list[str]:
    return [number(row.scores.get(name), results.metrics[name].digits) for name in names]


def _line(results: Results, row: Row, *, bold: bool) -> str:
    if row.error is not None:
        return f"| `{row.name}` | failed |" + " |" * 8
    work = "" if row.work is None else steps(row.work)
    cells = [
        f"`{row.name}`", f"{work} of {row.num_steps}", *_scores(results, row, IN_EVERY_ROW),
        *_times(row), _mebibytes(row.cache_bytes),
        _mebibytes(row.peak_bytes),
    ]  # fmt: skip
    return "| " + " | ".join(f"**{cell}**" if bold and cell else cell for cell in cells) + " |"


def _times(row: Row) -> tuple[str, str]:
    seconds, speedup = number(row.seconds, 3), number(row.speedup, 2, "x")
    is_rough = bool(speedup) and row.noisy_speedup
    return f"{NOISY if row.noisy else ''}{seconds}", f"{NOISY if is_rough else ''}{speedup}"


def _why_excluded(row: Row) -> str:
    return f"{row.exclusion}. {row.note}".strip() if row.over else row.error or f"{row.exclusion}."


def _difference_line(each: Difference) -> str:
    ends = "" if each.low_db is None else f" ({each.low_db:+.2f} to {each.high_db:+.2f})"
    return f"- `{each.theirs}`: {each.mean_db:+.2f} dB{ends}, better on {each.better_share:.0%} of the pairs"


def where(machine: Mapping[str, str]) -> str:
    """The device and processor that results come from, in a few words."""
    return f"{machine['device']} ({machine['processor']}, {machine['threads']} threads)"


def _mebibytes(value: int | None) -> str:
    return "" if value is None else f"{value / 2**20:.1f}"


def page(results: Results) -> str:
    """The measured part of the benchmark page."""
    return "\n\n".join(
        [
            (
                "PSNR is against the uncached run; *work* is counted, in uncached steps; bold is the best that does no "
                f"more work than its number of steps. Measured with `{results.command}`."
            ),
            *(section(results, found) for found in results.models),
            *(_note(note) for note in results.notes),
        ]
    )


def _note(note: str) -> str:
    return f"Not measured here: {note.removeprefix(SKIPPED)}" if note.startswith(SKIPPED) else note
