"""The parts of the page that gradio has no component for, as HTML."""

from __future__ import annotations

from functools import cache
from typing import Any

from lesa_framework.templates import templates
from lesa_framework.ui.strip import ticks
from lesa_framework.ui.words import Account


def report_html(account: Account) -> str:
    """The report of a comparison: numbers, the choice, the strip of its steps."""
    return str(_template("report.html.j2").render(account=account, ticks=ticks()))


def message_html(text: str, *, is_error: bool = False) -> str:
    """A message in place of the report."""
    return str(_template("message.html.j2").render(text=text, is_error=is_error))


@cache
def _template(name: str) -> Any:
    return templates("lesa_framework.ui", "assets").get_template(name)
