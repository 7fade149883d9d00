from __future__ import annotations

import pytest

from benchmarks.markup import filled, folded


def test_a_page_without_its_markers_is_refused():
    with pytest.raises(ValueError, match="no <!-- peers:start -->"):
        filled("# A page", {"peers": "| a |"})


def test_what_is_filled_in_replaces_what_was_there_and_nothing_else():
    page = "above <!-- a:start -->\nold\n<!-- a:end --> below"
    assert filled(page, {"a": "new"}) == "above <!-- a:start -->\nnew\n<!-- a:end --> below"


def test_markdown_inside_a_folded_part_is_apart_from_its_tags():
    """Without empty lines around it, neither GitHub nor the site would read it as Markdown."""
    assert "</summary>\n\n| a |\n\n</details>" in folded("rows", "| a |")
