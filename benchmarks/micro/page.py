"""Writes the tables of docs/reference/micro.md: `python -m benchmarks.micro.page`."""

from __future__ import annotations

from benchmarks.markup import ROOT, filled, table
from benchmarks.micro.results import HIGH, LOW, RATIO
from benchmarks.micro.turns import interval_name
from benchmarks.speed_page import FOLDER
from lesa_framework.files import write_text
from lesa_framework.measure.results import Results, Row
from lesa_framework.measure.results_file import read_results
from lesa_framework.words import amount

FILE, PAGE = FOLDER / "micro-cpu.json", ROOT / "docs" / "reference" / "micro.md"


def section(results: Results) -> dict[str, str]:
    """What is between the markers: where it was measured, and a table for each part."""
    machine = results.environment
    threads = amount(int(machine["threads"]), "thread")
    where = (
        f"Measured on {machine['processor']}, torch {machine['torch']}, {threads}, by {results.spec['clock']}: "
        f"`{FILE.name}`. {' '.join(results.notes)}"
    )
    return {"micro": "\n\n".join([where.strip(), *(_part(results, each.model) for each in results.models)])}


def _part(results: Results, name: str) -> str:
    first, *rows = results.of_model(name)
    turns = len(next(each for each in results.models if each.model == name).details[first.name].seconds)
    lines = [[f"`{first.name}`", _ms(first), "1", ""]] + [_line(row) for row in rows]
    headings = [name[0].upper() + name[1:], "ms", "time ratio", interval_name(turns)]
    return f"{first.note} {turns} turns.\n\n{table(headings, lines, words=1)}"


def _line(row: Row) -> list[str]:
    scores = row.scores
    return [f"`{row.name}`", _ms(row), f"{scores[RATIO]:.3f}", f"{scores[LOW]:.3f} to {scores[HIGH]:.3f}"]


def _ms(row: Row) -> str:
    assert row.seconds is not None  # every line was timed
    return f"{1e3 * row.seconds:.3f}"


def main() -> None:
    """Rewrite the tables."""
    write_text(PAGE, filled(PAGE.read_text("utf-8"), section(read_results(FILE))))


if __name__ == "__main__":
    main()
