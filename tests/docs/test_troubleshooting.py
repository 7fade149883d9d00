"""Every message that docs/how-to/troubleshooting.md quotes is one that the code can say."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text("utf-8")
#: What stands in quotes at the beginning of a row; a number stands for any.
QUOTED = [row.split(" 4 ")[0] for row in re.findall("^\\| \u201c([^\u201d]+)\u201d \\|", PAGE, re.MULTILINE)]
SAID = [
    node.value
    for room in ("lesa_framework", "plugins")
    for path in sorted((ROOT / room).rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text("utf-8")))
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
]


def test_the_page_quotes_messages() -> None:
    assert len(QUOTED) > 12


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_is_in_the_code(quoted: str) -> None:
    assert any(quoted in text for text in SAID)
