"""Writes docs/reference/gallery.md and its pictures from the committed results: `python -m benchmarks.gallery_page`.

The pictures are those that the reference benchmark kept, pixel for pixel: nothing is drawn or chosen here by its look.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import torch

from benchmarks import front_rows
from benchmarks.front_page import PUBLISHED, SELECTION
from benchmarks.front_rows import SYSTEMS, FrontRows, System
from benchmarks.markup import ROOT, between_markers
from lesa_framework.files import write_bytes, write_text
from lesa_framework.measure.images import from_data_uri, spread, to_pil
from lesa_framework.measure.results import QUALITY, UNCACHED, ModelResults, Results, Row
from lesa_framework.measure.results_file import read_results

PAGE, PICTURES = ROOT / "docs" / "reference" / "gallery.md", ROOT / "docs" / "images" / "gallery"
#: Lines of the front page that are shown, with a short heading.
_SHOWN = {
    front_rows.FITTED: "fitted, searched steps",
    front_rows.OURS_EVEN: "LESA, even steps",
    front_rows.TAYLOR_EVEN: "TaylorSeer, even steps",
    front_rows.TOLD: "another library's cache",
    front_rows.FEWER: "fewer steps",
}
#: Frames of a clip that are shown, from its first to its last.
_FRAMES = 5
#: How wide a picture or frame is shown, in pixels: a line of them fits the page.
_WIDTH = 104


def main() -> None:
    """Write the page and its pictures."""
    selection, published = read_results(SELECTION), read_results(PUBLISHED)
    for name, content in pictures(selection, published).items():
        write_bytes(PICTURES / name, content)
    write_text(PAGE, between_markers(PAGE.read_text("utf-8"), page(selection, published)))


def page(selection: Results, published: Results) -> str:
    """The measured part of the page: a table of pictures for each system."""
    return "\n\n".join(
        f"## {system.title}, {system.nfe} of {found.num_steps} steps\n\n{_table(system, found, rows)}"
        for system, found, rows in _systems(selection, published)
    )


def pictures(selection: Results, published: Results) -> dict[str, bytes]:
    """The files of the page's pictures, by name."""
    return {
        _file(system, heading, number): _webp(found, row, number)
        for system, found, rows in _systems(selection, published)
        for heading, row in rows.items()
        for number in range(len(found.images[row.name]))
    }


def _systems(selection: Results, published: Results) -> list[tuple[System, ModelResults, dict[str, Row]]]:
    lines = {line.label: line.rows for line in FrontRows(selection, published).lines()}
    found = []
    for place, system in enumerate(SYSTEMS):
        model = next(each for each in published.models if each.model == system.model)
        uncached = next(row for row in published.of_model(system.model) if row.name == UNCACHED)
        rows = {heading: row for label, heading in _SHOWN.items() if (row := lines[label][place]) is not None}
        found.append((system, model, {"uncached": uncached, **rows}))
    return found


def _table(system: System, found: ModelResults, rows: dict[str, Row]) -> str:
    """Pictures have a column for each method; clips, which are wide, have a row."""
    count = min(len(found.images[row.name]) for row in rows.values())
    if found.frames == 1:
        head = ["| prompt and seed | " + " | ".join(map(_heading, rows, rows.values())) + " |"]
        head.append("|---|" + "---|" * len(rows))
        return "\n".join(
            head
            + [
                f"| {_prompt(found, number)} | {' | '.join(_cells(system, found, rows, number))} |"
                for number in range(count)
            ]
        )
    tables = []
    for number in range(count):
        head = [f"{_prompt(found, number)}:", "", "| method | frames from the first to the last |", "|---|---|"]
        cells = zip(rows.items(), _cells(system, found, rows, number), strict=True)
        tables.append("\n".join(head + [f"| {_heading(*row)} | {cell} |" for row, cell in cells]))
    return "\n\n".join(tables)


def _heading(heading: str, row: Row) -> str:
    work = f", work of {row.work:.1f} steps" if row.works_more else ""
    return f"{heading} (`{row.family}`{work})" if row.kind == "peer" else heading


def _prompt(found: ModelResults, number: int) -> str:
    return f"“{found.pairs[number].prompt}”, seed {found.pairs[number].seed}"


def _cells(system: System, found: ModelResults, rows: dict[str, Row], number: int) -> Sequence[str]:
    pair = found.pairs[number].prompt
    width = _WIDTH if found.frames == 1 else _WIDTH * _FRAMES
    return [
        f"![{pair}, {heading}](../images/gallery/{_file(system, heading, number)}){{ width={width} .sample }}"
        f"{_psnr(found, row, number)}"
        for heading, row in rows.items()
    ]


def _psnr(found: ModelResults, row: Row, number: int) -> str:
    value = found.details[row.name].scores[QUALITY][number]
    return f"<br>{value:.1f} dB" if value is not None and row.name != UNCACHED else ""


def _file(system: System, heading: str, number: int) -> str:
    name = "".join(letter if letter.isalnum() else "-" for letter in heading.lower()).replace("--", "-")
    return f"{system.backbone}-{number}-{name}.webp"


def _webp(found: ModelResults, row: Row, number: int) -> bytes:
    uri = found.images[row.name][number]
    if found.frames == 1:
        return base64.b64decode(uri.partition(",")[2])
    shown = spread(from_data_uri(uri, found.frames), _FRAMES)
    buffer = io.BytesIO()
    to_pil(torch.cat(list(shown), dim=-1)).save(buffer, "WEBP", lossless=True, method=6)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
