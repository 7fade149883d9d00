"""Writes the measured tables of README.md and docs/benchmarks.md from committed results.

lesa eval ... --out benchmarks/results/reference-flux.json
python benchmarks/front_page.py
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from lesa_framework.evaluation.rows import Results, Row, best_per_nfe

ROOT = Path(__file__).resolve().parent.parent
README, PAGE = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
#: Written one after the other, where they are there.
RESULTS = ("reference-flux", "reference-qwen_image", "reference-hunyuan_video")
START, END = "<!-- results:start -->", "<!-- results:end -->"
#: 97.5 % point of the normal distribution, for 95 % intervals.
_TWO_SIDED = 1.96


def summary(everything: Sequence[Results]) -> str:
    """One table for all models: of TaylorSeer only the best order at each schedule."""
    lines = [
        "| model | method | computed steps | PSNR, dB | SSIM | speed-up | cache, MiB |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for results in everything:
        best = best_per_nfe(results.rows)
        for row in _ranked(results):
            if row.psnr_db is None or not _front(results, row):
                continue
            cells = [
                f"`{row.name}`",
                f"{row.nfe} of {row.num_steps}",
                _number(row.psnr_db, 2),
                _number(row.ssim, 3),
                f"{row.speedup:.2f}x",
                f"{row.cache_bytes / 2**20:.1f}",
            ]
            shown = [f"**{cell}**" if row.name in best else cell for cell in cells]
            lines.append(f"| `{results.model}` | " + " | ".join(shown) + " |")
    pairs = sorted({len(results.pairs) for results in everything})
    counts = f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}"
    machine = everything[0].environment
    return "\n\n".join(
        [
            (
                f"The bundled models on {counts} held-out prompt/seed pairs each, {everything[0].num_steps} steps, "
                f"{machine['device']}, {machine['threads']} threads. PSNR is against the uncached run; bold is the "
                "best at its number of computed steps; of TaylorSeer the best order is shown."
            ),
            "\n".join(lines),
        ]
    )


def _front(results: Results, row: Row) -> bool:
    """Whether a row is on the front page: no worse orders of TaylorSeer at the paper's schedules."""
    orders = [other for other in results.rows if _paper_taylorseer(other) and other.nfe == row.nfe]
    return not _paper_taylorseer(row) or row is max(orders, key=lambda other: other.psnr_db or -math.inf)


def _paper_taylorseer(row: Row) -> bool:
    return "-taylorseer" in row.name and row.name.rsplit("-", 1)[-1].startswith("n")


def _ranked(results: Results) -> list[Row]:
    return sorted(results.rows, key=lambda row: (-row.nfe, -(row.psnr_db or math.inf)))


def table(results: Results) -> str:
    """All rows as Markdown, the best of each NFE in bold."""
    best = best_per_nfe(results.rows)
    lines = [
        "| method | computed steps | PSNR, dB | SSIM | relative L2 | caption score | speed-up | cache, MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in _ranked(results):
        cells = [
            f"`{row.name}`",
            f"{row.nfe} of {row.num_steps}",
            _number(row.psnr_db, 2),
            _number(row.ssim, 3),
            _number(row.rel_l2, 3),
            _number(row.caption_score, 3),
            f"{row.speedup:.2f}x",
            f"{row.cache_bytes / 2**20:.1f}",
        ]
        lines.append("| " + " | ".join(f"**{cell}**" if row.name in best else cell for cell in cells) + " |")
    return "\n".join(lines)


def differences(results: Results) -> str:
    """How far LESA is ahead of each rival with the same NFE, pair by pair."""
    lines = []
    for row in results.rows:
        if "-lesa-" not in row.name:
            continue
        rivals = [rival for rival in results.rows if rival.nfe == row.nfe and rival is not row]
        lines += [f"- `{row.name}` - `{rival.name}`: {_paired(results, row, rival)}" for rival in rivals]
    return "\n".join(lines)


def _paired(results: Results, ours: Row, theirs: Row) -> str:
    pairs = zip(results.details[ours.name].psnr_db, results.details[theirs.name].psnr_db, strict=True)
    gains = [a - b for a, b in pairs if a is not None and b is not None]
    half = _TWO_SIDED * statistics.stdev(gains) / math.sqrt(len(gains))
    share = sum(gain > 0 for gain in gains) / len(gains)
    return f"{statistics.fmean(gains):+.2f} dB (± {half:.2f}), better on {share:.0%} of the pairs"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def section(results: Results) -> str:
    """A model's part of the benchmark page."""
    machine = f"{results.environment['device']}, {results.environment['threads']} threads"
    return "\n\n".join(
        [
            f"### {results.model}",
            (
                f"{len(results.pairs)} held-out prompt/seed pairs, {results.num_steps} steps, batch {results.batch}, "
                f"{machine}. PSNR is against the uncached run; bold is the best at its number of computed steps."
            ),
            table(results),
            "Paired differences in PSNR, with 95 % intervals:",
            differences(results),
            f"Reproduce with `{results.command}`.",
        ]
    )


def write(page: Path, text: str) -> None:
    """Put the text between a page's markers."""
    before, _, rest = page.read_text("utf-8").partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n{text}\n{END}{after}", "utf-8")


def main() -> None:
    """Rewrite both pages."""
    paths = [ROOT / "benchmarks" / "results" / f"{name}.json" for name in RESULTS]
    found = [Results.model_validate_json(path.read_text("utf-8")) for path in paths if path.is_file()]
    write(README, summary(found))
    write(PAGE, "\n\n".join(section(results) for results in found))


if __name__ == "__main__":
    main()
