"""`lesa report`: the page of results that were measured before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lesa_framework.cli import console, files
from lesa_framework.errors import ConfigError
from lesa_framework.files import write_text
from lesa_framework.measure.page.from_evaluation import read_evaluation
from lesa_framework.measure.page.render import check_report, write_page
from lesa_framework.measure.results import BenchResults, read_results


def command(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.json", help="What `lesa bench` or `lesa eval` wrote.")],
    out: Annotated[
        Path | None, typer.Option(metavar="REPORT.html", help="Where to write the page; beside the results by default.")
    ] = None,
) -> None:
    """Make the page of a results file again: one HTML file that needs no network.

    Files of `lesa eval` and `lesa demo` hold no images, so their page has none.

    Example: lesa report reference.json --out reference.html
    """
    page = out or results.with_suffix(".html")
    files.check_out_file(page)
    if page.resolve() == results.resolve():
        raise ConfigError(f"--out {page}: is the results file itself. Give the page another name.")
    check_report("lesa report")
    write_text(page, write_page(_read(results)))
    console.notices().print(f"wrote {page}", markup=False, soft_wrap=True)


def _read(path: Path) -> BenchResults:
    """Either format: results of `lesa bench` say their version, those of `lesa eval` have none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, RecursionError, ValueError):
        return read_results(path)  # says what is wrong
    if isinstance(content, dict) and "schema_version" not in content:
        return read_evaluation(path)
    return read_results(path)
