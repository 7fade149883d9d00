"""The page on the command line has every command, in its table and with a section, and no other."""

from __future__ import annotations

import re

import typer.main

from lesa_framework.cli.app import app
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")


def test_the_page_has_every_command():
    group = typer.main.get_command(app)
    commands = sorted(group.list_commands(typer.Context(group)))
    assert sorted(re.findall(r"^\| \[`(\w+)`\]\(#lesa-\1\) \|", PAGE, re.MULTILINE)) == commands
    assert sorted(re.findall(r"^## lesa (\w+)$", PAGE, re.MULTILINE)) == commands
