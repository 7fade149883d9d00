"""Writes the measured part of docs/reference/fitted.md from the committed results: `python -m benchmarks.fitted_page`.

lesa bench benchmarks/configs/fitted.yaml --out benchmarks/results/fitted.json
python -m benchmarks.fitted_page
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.benchmarks_page import section, where
from benchmarks.front_rows import SYSTEMS, verdict
from benchmarks.markup import ROOT, filled, signed
from benchmarks.speed_page import FOLDER
from lesa_framework.files import write_text
from lesa_framework.measure.intervals import compared
from lesa_framework.measure.results import Kind, ModelResults, Results, Row, fewer_steps_name, ranked
from lesa_framework.measure.results_file import read_results

RESULTS, PAGE = FOLDER / "fitted.json", ROOT / "docs" / "reference" / "fitted.md"


def sections(results: Results) -> dict[str, str]:
    """What is between the markers: a table of leads, and every row of every model."""
    pairs = sorted({len(found.pairs) for found in results.models})
    return {
        "leads": (
            f"PSNR in dB against the uncached run of 50 steps, {' to '.join(map(str, pairs))} pairs a model, "
            f"{where(results.environment)}. Below each of the others is the lead of `fitted` over it: the mean "
            "difference, pair by pair, with its 95 % interval over prompts; ahead where the whole interval is "
            "above 0, behind where all of it is below 0, otherwise level. The best of the "
            f"others was chosen on these very pairs, which favours it.\n\n{leads(results)}"
        ),
        "results": "\n\n".join(section(results, found) for found in results.models),
    }


def leads(results: Results) -> str:
    """For each model and number of computed steps: `fitted`, and how far it is ahead of each sort of rival."""
    lines = [
        "| | fitted | the best forecast without a fit | the best LESA | fewer steps with UniPC | fewer steps |",
        "|---|--:|---|---|---|---|",
    ]
    for found in results.models:
        title = next(each.title for each in SYSTEMS if each.model == found.model)
        for nfe in results.nfes(found.model):
            rows = ranked(results.of_model(found.model), nfe)
            ours = next((row for row in rows if row.family == "fitted"), None)
            if ours is not None:
                lines.append(f"| {title}, {nfe} of 50 | {_db(ours)} | {' | '.join(_against(rows, ours, found, nfe))} |")
    return "\n".join(lines)


def _against(rows: Sequence[Row], ours: Row, found: ModelResults, nfe: int) -> list[str]:
    caches = [row for row in rows if row.kind is Kind.CACHE and row.family not in ("fitted", "lesa")]
    lesa = [row for row in rows if row.kind is Kind.CACHE and row.family == "lesa"]
    unipc = [row for row in rows if row.family.startswith("unipc")]
    plain = [row for row in rows if row.name == fewer_steps_name(nfe)]
    cells: list[str] = []
    for rivals, named in ((caches, True), (lesa, True), (unipc, True), (plain, False)):
        if not rivals:
            cells.append("–")
            continue
        best = rivals[0]
        cells.append(f"`{best.name}` {_db(best)}" if named else _db(best))
        cells[-1] += f"<br>{_lead(ours, best, found)}"  # below it: a table with columns for leads is too wide
    return cells


def _db(row: Row) -> str:
    return "–" if row.psnr_db is None else f"{row.psnr_db:.1f}"


def _lead(ours: Row, theirs: Row, found: ModelResults) -> str:
    difference = compared(ours, theirs, found)
    if difference is None or difference.low_db is None or difference.high_db is None:
        return "unknown"
    mean, low, high = (signed(each, 1) for each in (difference.mean_db, difference.low_db, difference.high_db))
    return f"{mean} ({low} to {high}), {verdict(difference)}"


def main() -> None:
    """Rewrite the page."""
    write_text(PAGE, filled(PAGE.read_text("utf-8"), sections(read_results(RESULTS))))


if __name__ == "__main__":
    main()
