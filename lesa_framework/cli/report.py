"""`lesa report`: the page of results that were measured earlier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lesa_framework.cli import console, files
from lesa_framework.files import write_text
from lesa_framework.measure.page.render import check_report, write_page
from lesa_framework.measure.results_file import read_results


def command(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS.json", help="What `lesa bench`, `lesa eval` or `lesa demo` wrote.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="REPORT.html", help="Where to write the page; next to the results by default."),
    ] = None,
) -> None:
    """Make the page of a results file: one HTML file that needs no network.

    The page shows the images that are in the file.

    Example: lesa report reference.json --out reference.html
    """
    measured = read_results(results)
    page = out or results.with_suffix(".html")
    files.check_out_file(page, inputs=[results])
    check_report("lesa report")
    write_text(page, write_page(measured))
    console.announce(f"wrote {page}")
