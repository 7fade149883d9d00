"""One HTML page with everything in it, that needs no network."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path

from lesa_framework.search.page import view
from lesa_framework.search.record import Record
from lesa_framework.templates import templates

#: The look of the report, which this page shares.
_LOOK = ("lesa_framework.measure.page", "assets", "look.css")


def write_page(record: Record, config: Path) -> str:
    """The page.

    Args:
        record: A search that has compared its best.
        config: The configuration that it found.

    Returns:
        A whole HTML document.
    """
    from markupsafe import Markup

    environment = templates("lesa_framework.search.page", "template")
    environment.filters["told"] = view.told
    package, folder, style = _LOOK
    return environment.get_template("page.html.j2").render(
        record=record,
        name=config.stem,
        config=shlex.quote(str(config)),
        about=record.about,
        best=record.outcome,
        plot=view.plot_of(record),
        strips=view.strips_of(record),
        finalists=view.finalists_of(record),
        size=view,
        style=Markup((files(package) / folder / style).read_text("utf-8")),
    )
