from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.measure.page.samples import PICTURES, sample_results


def _names(page: Page) -> list[str]:
    return page.locator("#measured [data-model='0'] tbody th > a:not(.badge)").all_inner_texts()


def test_headings_sort_best_first_and_then_worst_first(visit: Visit) -> None:
    page = visit()
    rows = [row for row in sample_results().of_model(PICTURES) if row.psnr_db is not None]
    rising = [row.name for row in sorted(rows, key=lambda row: row.psnr_db or 0.0)]
    table = page.locator("#measured [data-model='0']")
    heading = table.get_by_role("button", name="PSNR, dB")
    heading.click()
    assert _names(page)[: len(rows)] == rising[::-1]
    heading.press("Enter")
    assert _names(page)[: len(rows)] == rising
    # What has no PSNR stands last, whichever way it is sorted.
    assert set(_names(page)[len(rows) :]) == {"uncached", "diffusers-magcache"}
    expect(heading.locator("..")).to_have_attribute("aria-sort", "ascending")
    table.get_by_role("button", name="s / sample").click()
    assert _names(page)[0] == "fewer_steps_8"  # the fastest
    assert page.locator("#measured [aria-sort]").count() == 1


def test_rows_say_what_failed_what_missed_and_what_is_best(opened: Page) -> None:
    table = opened.locator("#measured")
    expect(table.get_by_role("row", name="diffusers-magcache")).to_contain_text("failed: ValueError: MagCache needs")
    expect(table.get_by_role("row", name="diffusers-taylorseer")).to_contain_text("12.4 steps of work")
    best = opened.locator("#measured [data-model='0'] tr.best th > a").all_inner_texts()
    assert best == ["ref-flux-taylorseer-every5", "ref-flux-lesa-n10"]


def test_a_name_opens_its_command_and_configuration_every_time(visit: Visit) -> None:
    page = visit()
    link = page.get_by_role("link", name="ref-flux-lesa-n7")
    for _ in range(2):
        link.click()
        source = page.locator("#reproduce details[open]")
        expect(source).to_contain_text("lesa bench reference.yaml --only ref-flux-lesa-n7")
        expect(source).to_contain_text("predictor: {kind: lesa}")
        expect(source).to_be_in_viewport()
        source.locator("summary").click()


def test_headings_stay_in_sight_below_the_filters(visit: Visit) -> None:
    page = visit()
    last = page.locator("#measured tbody tr:visible").last
    last.evaluate("row => scrollTo(0, row.getBoundingClientRect().top + scrollY - 200)")
    bar, heading = page.locator("#filters").bounding_box(), page.locator("#measured th").first.bounding_box()
    assert abs(bar["y"]) < 1
    assert abs(heading["y"] - bar["height"]) < 2
    assert last.bounding_box()["y"] > heading["y"] + heading["height"]
