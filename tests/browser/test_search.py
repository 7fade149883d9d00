"""The page of `lesa search` in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesa_framework.search.page import write_page
from tests.browser.conftest import Visit
from tests.browser.looking import pixels, share_of
from tests.search.test_page import ABOUT, a_record


@pytest.fixture
def found(tmp_path: Path) -> Path:
    """A page whose rows of steps are as long as those of most runs."""
    path = tmp_path / "found.html"
    record = a_record(about={**ABOUT, "num_steps": 50})
    path.write_text(write_page(record, Path("found/a-model-with-a-long-name-fitted-nfe3.yaml")), "utf-8")
    return path


@pytest.mark.parametrize("width", [360, 820, 1280])
def test_it_scrolls_in_one_direction_and_shows_every_step(visit: Visit, found: Path, width: int) -> None:
    page = visit(found, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for strip in page.locator(".cells").all():
        cells = strip.locator("i")
        assert cells.count() == 50
        last, card = (
            cells.last.bounding_box(),
            strip.locator("xpath=ancestor::*[contains(@class, 'card')]").bounding_box(),
        )
        assert last is not None
        assert card is not None
        assert last["width"] >= 3
        assert last["x"] + last["width"] < card["x"] + card["width"]


@pytest.mark.parametrize(("scheme", "accent"), [("light", "#0b6e6e"), ("dark", "#5cc8bd")])
def test_computed_steps_stand_out(visit: Visit, found: Path, scheme: str, accent: str) -> None:
    strip = pixels(visit(found, scheme=scheme), ".cells")
    assert 0.04 < share_of(strip, accent) < 0.08  # 3 of 50
