"""Writes the measured tables and plots of README.md and docs/benchmarks.md from the committed results.

`make bench` measures anew and calls it; by itself it is `python -m benchmarks.front_page`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.front_plots import write_plots
from lesa_framework.files import write_text
from lesa_framework.measure.results import BenchResults, BenchRow, Difference, Kind, ModelResults, ranked, read_results

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "reference.json"
README, PAGE, PLOTS = ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "images"
START, END = "<!-- results:start -->", "<!-- results:end -->"
#: Of the peers so many stand on the front page, the best ones of a target.
_PEERS = 2


def summary(results: BenchResults) -> str:
    """For the front page: what it was measured on, plots, and the best row of each sort."""
    pairs = sorted({len(found.pairs) for found in results.models})
    machine = results.environment
    lines = [
        "| model | method | work | PSNR, dB | SSIM | speed-up | cache, MiB |",
        "|---|---|--:|--:|--:|--:|--:|",
        *(
            _summary_line(row, best=number == 0)
            for found in results.models
            for target in results.targets(found.model)
            for number, row in enumerate(front_rows(results.of_model(found.model), target))
        ),
    ]
    return "\n\n".join(
        [
            _pictures("quality", "PSNR of every method against the uncached run"),
            (
                f"The bundled models on {' to '.join(map(str, pairs))} held-out prompt/seed pairs each, "
                f"{results.models[0].num_steps} steps, {_where(machine)}. PSNR is "
                "against the uncached run. *Work* is counted by torch, in uncached steps; the best of each number of "
                "steps is bold. Of each sort the best is shown, of the peers the best two; all rows are in "
                "[Benchmarks](docs/benchmarks.md)."
            ),
            "\n".join(lines),
        ]
    )


def front_rows(rows: Sequence[BenchRow], target: int) -> list[BenchRow]:
    """The best row of each family at each schedule, and the best peers; best first."""
    shown: list[BenchRow] = []
    seen: set[tuple[str, str]] = set()
    peers = 0
    for row in ranked(rows, target):
        sort = (row.family, row.schedule or row.name)
        peers += row.kind is Kind.PEER
        if sort not in seen and (row.kind is not Kind.PEER or peers <= _PEERS):
            seen.add(sort)
            shown.append(row)
    return shown


def section(results: BenchResults, found: ModelResults) -> str:
    """A model's part of the benchmark page."""
    machine = results.environment
    parts = [
        f"### {found.model}",
        (
            f"{len(found.pairs)} held-out prompt/seed pairs, {found.num_steps} steps, batch {found.batch}, "
            f"{_where(machine)}."
        ),
    ]
    for target in results.targets(found.model):
        rivals = [each for each in results.differences if (each.model, each.target_nfe) == (found.model, target)]
        parts += [
            f"**{target} of {found.num_steps} steps computed**",
            table(results.of_model(found.model), target),
        ]
        if rivals:
            parts += [
                f"`{rivals[0].ours}` minus each of the others, pair by pair, with 95 % intervals over prompts:",
                "\n".join(_difference_line(each) for each in rivals),
            ]
    return "\n\n".join(parts)


def table(rows: Sequence[BenchRow], target: int) -> str:
    """All rows of a target: those that compete, best first, then those that do not, and why."""
    best = ranked(rows, target)[:1]
    at_target = [row for row in rows if row.target_nfe == target and row.kind is not Kind.UNCACHED]
    ordered = sorted(at_target, key=lambda row: (not row.competes, -(row.psnr_db or 0.0)))
    lines = [
        "| method | work | PSNR, dB | SSIM | relative L2 | caption | s / sample | speed-up | cache, MiB | peak, MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        *(_line(row, bold=row in best) for row in ordered),
    ]
    remarks = [f"- `{row.name}`: {_why_not(row)}" for row in ordered if not row.competes]
    return "\n".join(lines) + ("\n\nNot in competition:\n\n" + "\n".join(remarks) if remarks else "")


def _summary_line(row: BenchRow, *, best: bool) -> str:
    cells = [
        f"`{row.name}`", f"{_number(row.nfe, 1)} of {row.num_steps}", _number(row.psnr_db, 2), _number(row.ssim, 3),
        f"{_number(row.speedup, 2)}x", _mebibytes(row.cache_bytes),
    ]  # fmt: skip
    return f"| `{row.model}` | " + " | ".join(f"**{cell}**" if best else cell for cell in cells) + " |"


def _line(row: BenchRow, *, bold: bool) -> str:
    if row.error is not None:
        return f"| `{row.name}` | failed |" + " |" * 8
    cells = [
        f"`{row.name}`", f"{_number(row.nfe, 1)} of {row.num_steps}", _number(row.psnr_db, 2), _number(row.ssim, 3),
        _number(row.rel_l2, 3), _number(row.caption_score, 3), _number(row.seconds, 3), f"{_number(row.speedup, 2)}x",
        _mebibytes(row.cache_bytes), _mebibytes(row.peak_bytes),
    ]  # fmt: skip
    return "| " + " | ".join(f"**{cell}**" if bold else cell for cell in cells) + " |"


def _why_not(row: BenchRow) -> str:
    """Why a row does not compete."""
    if row.error is not None:
        return row.error
    if row.psnr_db is None:
        return "made the very images of the uncached run."
    return f"did the work of {_number(row.nfe, 1)} steps. {row.note}".strip()


def _difference_line(each: Difference) -> str:
    ends = "" if each.low_db is None else f" ({each.low_db:+.2f} to {each.high_db:+.2f})"
    return f"- `{each.theirs}`: {each.mean_db:+.2f} dB{ends}, better on {each.better_share:.0%} of the pairs"


def _where(machine: Mapping[str, str]) -> str:
    return f"{machine['device']} ({machine['processor']}, {machine['threads']} threads)"


def _pictures(name: str, what: str) -> str:
    """One picture for light pages and one for dark ones."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="docs/images/{name}-dark.svg">'
        f'<img src="docs/images/{name}-light.svg" alt="{what}" width="100%"></picture>'
    )


def _page_pictures(name: str, what: str) -> str:
    return f"![{what}](images/{name}-light.svg#only-light)\n![{what}](images/{name}-dark.svg#only-dark)"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}".removesuffix(".0" if digits == 1 else "\0")


def _mebibytes(value: int | None) -> str:
    return "" if value is None else f"{value / 2**20:.1f}"


def page(results: BenchResults) -> str:
    """The measured part of the benchmark page."""
    return "\n\n".join(
        [
            (
                "PSNR is against the uncached run; *work* is counted, in uncached steps; bold is the best that does no "
                f"more work than its target. Measured with `{results.command}`. "
                "[How to read and repeat it](bench.md)."
            ),
            _page_pictures("quality", "PSNR of every method against the uncached run"),
            _page_pictures("pareto", "PSNR against wall time and against cache memory"),
            _page_pictures("gallery", "The first prompts, uncached and by the best method of each sort"),
            *(section(results, found) for found in results.models),
            *(f"Not measured here: {note.removeprefix('not measured: ')}" for note in results.notes),
        ]
    )


def between_markers(text: str, content: str) -> str:
    """A page with new content between its markers."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{content}\n{END}{after}"


def main() -> None:
    """Rewrite both pages and the plots."""
    results = read_results(RESULTS)
    for path, content in ((README, summary(results)), (PAGE, page(results))):
        write_text(path, between_markers(path.read_text("utf-8"), content))
    write_plots(results, PLOTS)


if __name__ == "__main__":
    main()
