"""One HTML page with everything in it, that needs no network."""

from __future__ import annotations

import json
import shlex
from importlib.resources import files
from pathlib import Path

from lesa_framework.search.page import view
from lesa_framework.search.record import FEW, Record
from lesa_framework.templates import templates
from lesa_framework.words import amount

#: The look of the report, which this page shares, and its own parts.
_LOOK = ("lesa_framework.measure.page", "assets", "look.css")
_PARTS = ("lesa_framework.search.page", "assets", "parts.css")


def write_page(record: Record, config: Path, *, exhausted: bool = False) -> str:
    """The page.

    Args:
        record: A search that has compared its best.
        config: The configuration that it found.
        exhausted: Whether every choice of steps was tried.

    Returns:
        A whole HTML document.
    """
    from markupsafe import Markup

    environment = templates("lesa_framework.search.page", "template")
    environment.filters |= {"told": view.told, "only": view.only, "amount": amount}
    finalists = view.finalists_of(record)
    return environment.get_template("page.html.j2").render(
        record=record,
        name=config.stem,
        config=shlex.quote(str(config)),
        path=json.dumps(str(config), ensure_ascii=False),
        about=record.about,
        best=finalists[0],
        few=FEW,
        exhausted=exhausted,
        plot=view.plot_of(record),
        strips=view.strips_of(record),
        finalists=finalists,
        size=view,
        style=Markup(_text(*_LOOK)),
        own=Markup(_text(*_PARTS)),
    )


def _text(package: str, folder: str, name: str) -> str:
    return (files(package) / folder / name).read_text("utf-8")
