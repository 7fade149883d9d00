"""Writes the measured part of README.md, and with it the benchmarks page and all plots, from results.

`make bench` measures anew and calls it; by itself it is `python -m benchmarks.front_page`.
"""

from __future__ import annotations

from benchmarks import benchmarks_page
from benchmarks.benchmarks_page import where
from benchmarks.front_plots import write_plots
from benchmarks.front_rows import FITTED, OURS_EVEN, PAPERS, SYSTEMS, Claim, FrontRows, Line, System, verdict
from benchmarks.markup import ROOT, between_markers, filled, signed, table
from benchmarks.speed_page import FILES, FOLDER
from lesa_framework.files import write_text
from lesa_framework.measure.results import Difference, Kind, Results, Row
from lesa_framework.measure.results_file import read_results

PUBLISHED, SELECTION = FOLDER / "reference.json", FOLDER / "reference-selection.json"
_HOW = (
    "Differences in dB, pair by pair, with 95 % intervals over prompts: ahead where the whole interval is "
    "above 0, behind where all of it is below 0, otherwise level."
)
#: Which steps a schedule has, by the beginning of its name.
_STEPS = {"even": "even steps", "n": "the paper's steps", "ref-": "searched steps"}
README, PLOTS = ROOT / "README.md", ROOT / "docs" / "images"


def summary(selection: Results, published: Results) -> str:
    """What a reader of README.md sees: a picture, a table of ten lines, what it claims."""
    chosen = FrontRows(selection, published)
    lines = chosen.lines()
    pairs = sorted({len(found.pairs) for found in published.models})
    return "\n\n".join(
        [
            _picture("front", "PSNR of each method on the three systems"),
            (
                "PSNR in dB against the uncached run of 50 steps, on small bundled models of the three architectures "
                f"({' to '.join(map(str, pairs))} prompt/seed pairs each, {where(published.environment)}). Every "
                "method computes as many steps as its column says. Where more work is given, blocks "
                "ran in other steps too. Orders, schedules and presets were chosen on other pairs; of the other "
                "libraries' caches, the best on these pairs is shown."
            ),
            _table(lines),
            _claims(chosen.claims()),
        ]
    )


def benchmarks(selection: Results, published: Results) -> dict[str, str]:
    """What is between the markers of the benchmarks page."""
    chosen = FrontRows(selection, published)
    return {
        "summary": _table(chosen.lines()),
        "leads": _leads(chosen.claims()),
        "plans": _plans(chosen.lines(), published),
        "results": benchmarks_page.page(published),
    }


def _plans(lines: list[Line], published: Results) -> str:
    """The steps of each schedule as letters, below each other."""
    rows = {line.label: line.rows for line in lines}
    models = {found.model: found for found in published.models}
    text = []
    for number, system in enumerate(SYSTEMS):
        text.append(f"{system.title}, {system.nfe} of {models[system.model].num_steps} steps")
        for name, label in (("even", OURS_EVEN), ("the paper's", PAPERS), ("searched", FITTED)):
            if row := rows[label][number]:
                plan, *_ = models[system.model].details[row.name].plans.values()
                text.append(f"  {name:<12} {plan}")
    return "\n".join(["```text", *text, "```"])


def _table(lines: list[Line]) -> str:
    heads = [f"{each.title}, {each.nfe} of 50 steps ({50 / each.nfe:.2f}x)" for each in SYSTEMS]
    # Bold is the best that did no more work than its steps allow.
    fair = [[row for line in lines if (row := line.rows[n]) and not row.works_more] for n in range(len(SYSTEMS))]
    best = [max((row.psnr_db or 0.0 for row in column), default=0.0) for column in fair]
    rows = [[line.label, *(_cell(row, top) for row, top in zip(line.rows, best, strict=True))] for line in lines]
    speeds = [_speed(read_results(FILES[each.backbone]), each) for each in SYSTEMS]
    rows.append(["*time at full size, LESA on the paper's steps* (one H200, random weights)", *speeds])
    return table(["method", *heads], rows, words=1)


def _cell(row: Row | None, best: float) -> str:
    if row is None or row.psnr_db is None:
        return "–"
    number = f"{row.psnr_db:.1f}"
    number = f"**{number}**" if row.psnr_db == best and not row.works_more else number
    remarks = ", ".join(filter(None, [_choice(row), f"work of {row.work:.1f} steps" if row.works_more else ""]))
    return f"{number} ({remarks})" if remarks else number


def _choice(row: Row) -> str:
    """Which order or peer it is, as it was chosen, and which steps it was told."""
    for family in ("taylorseer", "unipc"):
        if row.family.startswith(family):
            return f"order {row.name.removeprefix(family)[0]}"
    if row.kind is not Kind.PEER:
        return ""
    told = row.schedule and next((steps for start, steps in _STEPS.items() if row.schedule.startswith(start)))
    return f"`{row.family}`, {told}" if told else f"`{row.family}`"


def _speed(results: Results, system: System) -> str:
    """The measured time ratio of LESA at the system's NFE, of what the ratio in steps would allow."""
    found = [row for row in results.rows if row.family == "lesa" and row.nfe == system.nfe and row.speedup]
    row = next(row for row in found if "unchecked" not in row.name)
    return f"{row.speedup:.2f}x of {row.num_steps / row.nfe:.2f}x"


def _claims(claims: list[Claim]) -> str:
    text = ["<details>", "<summary>Differences between these rows, with intervals</summary>", "", _HOW, ""]
    for claim in claims:
        each = zip(SYSTEMS, claim.differences, strict=True)
        found = [f"{system.title} {_difference(difference)}" for system, difference in each if difference]
        if found:
            text.append(f"- {claim.text}: {'; '.join(found)}.")
    return "\n".join([*text, "", "</details>"])


def _leads(claims: list[Claim]) -> str:
    """The claims as a table."""
    rows = [
        [claim.text, *("–" if each is None else _difference(each) for each in claim.differences)] for claim in claims
    ]
    return table(["difference, dB", *(each.title for each in SYSTEMS)], rows, words=1 + len(SYSTEMS))


def _difference(each: Difference) -> str:
    ends = "" if each.low_db is None or each.high_db is None else f" ({signed(each.low_db)} to {signed(each.high_db)})"
    return f"{signed(each.mean_db)}{ends}, {verdict(each)}"


def _picture(name: str, what: str) -> str:
    """One picture for light pages and one for dark ones."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="docs/images/{name}-dark.svg">'
        f'<img src="docs/images/{name}-light.svg" alt="{what}" width="100%"></picture>'
    )


def main() -> None:
    """Rewrite both pages and the plots."""
    selection, published = read_results(SELECTION), read_results(PUBLISHED)
    write_text(README, between_markers(README.read_text("utf-8"), summary(selection, published)))
    page = benchmarks_page.PAGE
    write_text(page, filled(page.read_text("utf-8"), benchmarks(selection, published)))
    write_plots(published, FrontRows(selection, published).lines(), PLOTS)


if __name__ == "__main__":
    main()
