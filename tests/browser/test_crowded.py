from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from lesa_framework.measure.page.render import write_page
from tests.browser.conftest import Pages
from tests.browser.looking import assert_names_apart, middles_of_marks, pixels, share_of, shown_rows
from tests.measure.page.crowd import NOTE, PEERS, crowded_results

_LINE = 36
_REUSE = "#6a4fb3"
_FIRST = "somebody_elses_block_cache_0_10"


@pytest.fixture(scope="module")
def crowded(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Shared: each test leaves it as it was."""
    path = tmp_path_factory.mktemp("crowded") / "report.html"
    path.write_text(write_page(crowded_results()), "utf-8")
    pages = Pages(browser)
    yield pages.open(path)
    pages.close()
    assert pages.said == []


def _heights(page: Page) -> set[int]:
    return set(
        page.evaluate(
            """[...document.querySelectorAll("#measured tbody tr")].filter(row => row.checkVisibility())
            .map(row => row.offsetHeight)"""
        )
    )


def _wrappers(page: Page, selector: str) -> list[dict[str, float]]:
    return [one.bounding_box() for one in page.locator(selector).all()]


def test_every_row_is_one_line_high(crowded: Page) -> None:
    assert len(shown_rows(crowded, "#measured")) == 14 + PEERS
    for width in (1280, 820, 390):
        crowded.set_viewport_size({"width": width, "height": 844})
        assert all(20 < height <= _LINE for height in _heights(crowded)), (width, _heights(crowded))
    crowded.set_viewport_size({"width": 1280, "height": 844})


def test_notes_open_from_a_badge(crowded: Page) -> None:
    row = crowded.locator("#measured").get_by_role("row", name="somebody_elses_block_cache_3_10")
    mark = row.get_by_role("link", name="note", exact=True)
    assert mark.get_attribute("title") == NOTE
    mark.click()
    opened = crowded.locator("#reproduce details[open]")
    expect(opened).to_contain_text(NOTE.strip())
    opened.get_by_role("link", name="its row in the table").click()
    expect(row).to_be_in_viewport()
    opened.locator("summary").click()


def test_what_did_too_much_says_so_and_comes_last(crowded: Page) -> None:
    row = crowded.locator("#measured").get_by_role("row", name=_FIRST)
    expect(row.get_by_role("link", name="34.3 steps of work")).to_be_visible()
    at_ten = [name for name in shown_rows(crowded, "#measured") if name.endswith("_10")]
    assert at_ten[-1] == _FIRST
    colours = [
        crowded.locator("#measured").get_by_role("row", name=name).locator("td").nth(2).evaluate(
            "cell => { const style = getComputedStyle(cell); return style.color + style.opacity; }"
        )
        for name in (_FIRST, "somebody_elses_block_cache_3_10")
    ]  # fmt: skip
    assert colours[0] != colours[1]


def test_cards_make_two_full_lines(crowded: Page) -> None:
    boxes = _wrappers(crowded, ".verdict")
    assert [len({box[side] for box in boxes}) for side in ("x", "y", "width")] == [2, 3, 1]
    assert crowded.locator("#which h3").count() == 4
    assert crowded.locator(".answers li").first.inner_text().count("dB") == 4


def test_the_filters_take_one_line_however_many_methods_there_are(crowded: Page) -> None:
    bar = crowded.locator("#filters")
    expect(crowded.locator("#methods")).to_have_text("methods: all 17", use_inner_text=True)
    assert bar.bounding_box()["height"] < 60
    crowded.locator("#methods summary").click()
    assert bar.bounding_box()["height"] < 60
    expect(crowded.locator("[data-family-choice=reuse]")).to_be_in_viewport()
    crowded.get_by_role("button", name="none", exact=True).click()
    assert shown_rows(crowded, "#measured") == ["uncached"]
    crowded.get_by_role("checkbox", name="reuse", exact=True).check(force=True)
    expect(crowded.locator("#methods-shown")).to_have_text("1 of 17")
    crowded.get_by_role("button", name="all", exact=True).click()
    crowded.keyboard.press("Escape")
    expect(crowded.locator("[data-family-choice=reuse]")).to_be_hidden()


def test_names_stay_apart_and_peers_below_ours(crowded: Page) -> None:
    assert_names_apart(crowded)
    picture = pixels(crowded, "[data-x=work]")
    marks = middles_of_marks(crowded, "[data-x=work]")
    # A peer lies on one of ours at 10 steps, as near as a twentieth of a decibel.
    assert sum(share_of(picture[y : y + 1, x : x + 1], _REUSE) for x, y in marks) >= 3


def test_marks_of_repeated_colours_are_hollow_and_keep_their_shape(crowded: Page) -> None:
    symbols = set(crowded.evaluate("document.querySelector('[data-x=work]').data[1].marker.symbol"))
    assert symbols == {"circle", "square", "diamond", "diamond-open"}
    styles = crowded.evaluate(
        """[...document.querySelectorAll("#legend .mark.diamond")].map(mark => {
        const style = getComputedStyle(mark);
        return [style.backgroundColor, parseFloat(style.borderTopWidth) > 1]; })"""
    )
    assert len(styles) > 7
    assert {bordered for colour, bordered in styles if colour == "rgba(0, 0, 0, 0)"} == {True}
    assert {bordered for colour, bordered in styles if colour != "rgba(0, 0, 0, 0)"} == {False}


def test_curves_stand_out_by_choice(crowded: Page) -> None:
    def opacity(name: str) -> float:
        return crowded.evaluate(
            "name => document.querySelector('#curve-plots .plot').data.find(trace => trace.name === name).opacity", name
        )

    figure = crowded.locator("#curve-plots figure").first
    button = figure.get_by_role("button", name=_FIRST)
    assert opacity("ref-flux-lesa-n7") == opacity("ref-flux-taylorseer-every5") == 1
    assert opacity(_FIRST) < 0.5
    labels = figure.locator(".annotation-text").all_text_contents()
    assert _FIRST not in labels
    assert 5 <= len(labels) <= 7
    for pressed in ("true", "false"):
        button.click()
        expect(button).to_have_attribute("aria-pressed", pressed)
        assert (_FIRST in figure.locator(".annotation-text").all_text_contents()) == (pressed == "true")


def test_skipped_metrics_fold_out_of_one_line(crowded: Page) -> None:
    notes = crowded.locator("#measured .notes")
    expect(notes.locator("summary")).to_have_text("2 metrics were not measured")
    expect(notes.locator("li").first).to_be_hidden()
    expect(crowded.locator("#which")).not_to_contain_text("torchvision")
