"""Writes the measured tables of README.md and docs/benchmarks.md from committed results.

lesa eval ... --out benchmarks/results/reference-flux.json
python benchmarks/front_page.py
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from lesa_framework.evaluation.rows import Results, Row, best_per_nfe

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")
START, END = "<!-- results:start -->", "<!-- results:end -->"
#: 97.5 % point of the normal distribution, for 95 % intervals.
_TWO_SIDED = 1.96


def table(results: Results) -> str:
    """All rows as Markdown, the best of each NFE in bold."""
    best = best_per_nfe(results.rows)
    lines = [
        "| method | computed steps | PSNR, dB | SSIM | relative L2 | caption score | speed-up | cache, MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in sorted(results.rows, key=lambda row: (-row.nfe, -(row.psnr_db or math.inf))):
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
    """What stands between the markers."""
    machine = f"{results.environment['device']}, {results.environment['threads']} threads"
    return "\n\n".join(
        [
            (
                f"`{results.model}`, {len(results.pairs)} held-out prompt/seed pairs, {results.num_steps} steps, "
                f"batch {results.batch}, {machine}. PSNR is against the uncached run; bold is the best at its "
                "number of computed steps."
            ),
            table(results),
            "Paired differences in PSNR, with 95 % intervals:",
            differences(results),
            f"Reproduce with `{results.command}`.",
        ]
    )


def main() -> None:
    """Rewrite both pages."""
    path = ROOT / "benchmarks" / "results" / "reference-flux.json"
    text = section(Results.model_validate_json(path.read_text("utf-8")))
    for page in PAGES:
        before, _, rest = page.read_text("utf-8").partition(START)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{START}\n{text}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
