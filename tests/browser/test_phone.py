from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lesa_framework.measure.page.render import write_page
from lesa_framework.measure.results import Kind, ModelResults, Results, Row
from tests.browser.conftest import Visit
from tests.browser.looking import assert_names_apart, pixels, shown_rows
from tests.measure.page.samples import METRICS, timed_results

_PHONE, _EDGE = 390, 16


def _widths(page: Page) -> list[int]:
    return page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")


def test_a_phone_scrolls_the_page_in_one_direction_only(visit: Visit) -> None:
    page = visit(width=_PHONE, touch=True)
    assert_names_apart(page)
    page.locator("#methods summary").tap()
    page.locator("[data-family-choice=reuse]").tap()
    assert "ref-flux-reuse-n7" not in shown_rows(page, "#measured")
    page.evaluate("document.querySelectorAll('details').forEach(each => (each.open = true))")
    for model in ("reference:flux", "reference:hunyuan_video"):
        page.get_by_role("radio", name=model).check(force=True)
        assert _widths(page) == [_PHONE, _PHONE], model
        for section in page.locator("main > section:visible").all():
            assert section.bounding_box()["width"] <= _PHONE - 2 * _EDGE
        # The wide table scrolls inside its card.
        assert page.locator("#measured .card:visible").evaluate("card => card.scrollWidth > card.clientWidth")
    page.set_viewport_size({"width": 844, "height": _PHONE})
    expect(page.locator("[data-x=work] .main-svg").first).not_to_have_css("width", f"{_PHONE}px")
    assert _widths(page) == [844, 844]
    assert page.locator("[data-x=work] .main-svg").first.bounding_box()["width"] > _PHONE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_shades_its_edge_until_it_is_scrolled_to_its_end(visit: Visit, scheme: str) -> None:
    page = visit(width=_PHONE, scheme=scheme)
    card = "#measured .card:visible"

    def shaded() -> bool:
        """Whether the card's right edge, above its headings, is darker than the card."""
        strip = pixels(page, card)[8, -40:-2].mean(axis=-1)
        return bool(strip[-1] < strip[0] - 10)

    assert shaded()
    page.locator(card).evaluate("card => { card.scrollLeft = card.scrollWidth; }")
    assert not shaded()
    page.locator(card).evaluate("card => { card.scrollLeft = 0; }")
    assert shaded()
    page.set_viewport_size({"width": 2000, "height": 844})
    assert not shaded()


def test_results_without_images_curves_and_plans(visit: Visit, tmp_path: Path) -> None:
    rows = [
        Row(
            model="m", name=name, kind=kind, family=kind, nfe=nfe, num_steps=nfe, psnr_db=psnr, ssim=1.0, rel_l2=0.0,
            seconds=1.0, speedup=1.0, cache_bytes=0,
        )
        for name, kind, nfe, psnr in (
            ("uncached", Kind.UNCACHED, 50, None), ("fewer_steps_10", Kind.FEWER_STEPS, 10, 20.0)
        )
    ]  # fmt: skip
    found = ModelResults(model="m", num_steps=50, batch=1)
    path = tmp_path / "bare.html"
    path.write_text(write_page(Results(rows=rows, models=[found], metrics=METRICS)), "utf-8")
    page = visit(path)
    for section in ("#side", "#images", "#curves", "#plans", "#differences"):
        expect(page.locator(section)).to_be_hidden()
    assert shown_rows(page, "#measured") == ["uncached", "fewer_steps_10"]
    expect(page.locator("[data-x=work] .main-svg").first).to_be_visible()


def test_on_a_phone_a_difference_is_beside_its_name_and_its_group_goes_with_its_rows(visit: Visit) -> None:
    page = visit(width=_PHONE, touch=True)
    table = page.locator("#differences table:visible")
    name, ahead = (table.locator(f"[data-row] > {cell}").first.bounding_box() for cell in ("th", "td"))
    assert name["x"] + name["width"] <= ahead["x"]
    assert ahead["x"] + ahead["width"] <= _PHONE - _EDGE
    groups = table.locator("tr.ours:visible")
    assert [text.split(",")[1] for text in groups.all_inner_texts()] == [" 10 computed steps", " 8 computed steps"]
    page.locator("[data-nfe-choice='8'] input").check(force=True)
    assert groups.all_inner_texts()[0].endswith(", 8 computed steps")
    expect(groups).to_have_count(1)


def test_a_model_that_was_only_timed(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "timed.html"
    path.write_text(write_page(timed_results()), "utf-8")
    page = visit(path, width=_PHONE)
    for section in ("#plots", "#curves", "#side", "#images", "#differences"):
        expect(page.locator(section)).to_be_hidden()
    assert shown_rows(page, "#measured") == shown_rows(page, "#parts") == ["uncached", "lesa-n7"]
    expect(page.locator("#plans")).to_be_visible()
    assert _widths(page) == [_PHONE, _PHONE]


def test_on_a_phone_tables_keep_their_first_column_and_names_both_their_ends(visit: Visit) -> None:
    page = visit(width=_PHONE, touch=True)
    for section in ("#measured", "#differences"):
        table = page.locator(f"{section} table:visible").first
        table.evaluate("table => { table.closest('.card').scrollLeft = 200; }")
        first = table.locator("tbody th[scope=row]").first.bounding_box()
        card = table.locator("xpath=ancestor::div[contains(@class, 'card')]").bounding_box()
        assert first["x"] - card["x"] <= _EDGE, section
        assert first["width"] < _PHONE / 2, section
    name = page.locator("#measured th .short", has_text="ref-flux-taylorseer-every5").first
    start, end = name.locator("span").all()
    assert start.evaluate(
        "part => part.scrollWidth > part.clientWidth"
    )  # what is left out is the end of the first half
    assert end.evaluate("part => part.getClientRects().length === 1 && part.offsetWidth > 40")
