from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit

_PICTURE = "#images [data-model='0'] img[data-example='3'][alt$='{}']"


def _style(page: Page, selector: str, name: str) -> str:
    return page.locator(selector).evaluate("(element, name) => getComputedStyle(element)[name]", name)


def _videos(page: Page) -> None:
    page.get_by_role("radio", name="reference:hunyuan_video").check(force=True)


def test_every_image_decodes(opened: Page) -> None:
    found = opened.evaluate(
        """async () => {
        const images = [...document.images];
        await Promise.allSettled(images.map(image => image.decode()));
        return [images.length, images.filter(image => !image.naturalWidth).length];
        }"""
    )
    assert found == [13 * 5 + 6 * 5, 0]


def test_the_slider_moves_the_border_between_two_chosen_pictures(visit: Visit) -> None:
    page = visit()
    expect(page.locator("#right")).to_have_text("taylorseer-every5")  # the best one, at first
    expect(page.locator("#player")).to_be_hidden()
    assert _style(page, "#over", "clipPath") == "inset(0px 0px 0px 50%)"
    stage = page.locator(".stage")
    stage.scroll_into_view_if_needed()
    stage.click(position={"x": stage.bounding_box()["width"] * 0.2, "y": 40})
    moved = float(page.locator("#slide").input_value())
    assert 10 < moved < 30
    assert _style(page, "#over", "clipPath") == f"inset(0px 0px 0px {moved:g}%)"
    page.locator("#slide").press("End")
    assert _style(page, "#over", "clipPath") == "inset(0px 0px 0px 100%)"

    page.locator("#method").select_option(label="ref-flux-reuse-n7")
    page.locator("#prompt").select_option(index=3)
    for selector, name in (("#over", "ref-flux-reuse-n7"), ("#under", "uncached")):
        source = page.locator(_PICTURE.format(name)).get_attribute("src")
        assert _style(page, selector, "backgroundImage") == f'url("{source}")'
    below = page.locator(_PICTURE.format("ref-flux-reuse-n7")).get_attribute("data-below")
    expect(page.locator("#reading")).to_have_text(f"PSNR against the uncached one: {below}")


def test_a_video_plays_and_its_frames_can_be_chosen(visit: Visit) -> None:
    page = visit(motion="no-preference")
    _videos(page)
    expect(page.locator("#play")).to_have_text("pause")
    expect(page.locator("#frame-number")).to_have_text(re.compile("[3-9] of 9"))
    page.locator("#play").click()
    expect(page.locator("#play")).to_have_text("play")
    page.locator("#frame").fill("4")
    for selector in ("#over", "#under"):
        assert _style(page, selector, "backgroundPosition") == "50% 0px"
        assert _style(page, selector, "backgroundSize") == "900% 100%"
    expect(page.locator("#frame-number")).to_have_text("5 of 9")
    box = page.locator(".stage").bounding_box()
    assert abs(box["width"] / box["height"] - 48 / 32) < 0.01


def test_pictures_and_frames_are_large_enough_to_see(visit: Visit) -> None:
    page = visit()
    assert page.locator("#images .tiles img:visible").first.bounding_box()["width"] >= 130
    _videos(page)
    strips = page.locator("#images .films .enlarge:visible")
    boxes = [strips.nth(number).bounding_box() for number in range(3)]
    assert {box["height"] for box in boxes} == {96}
    assert len({(box["x"], box["width"]) for box in boxes}) == 1, "frames lie above each other"


def test_videos_stand_still_with_reduced_motion_and_pictures_are_enlarged(visit: Visit) -> None:
    page = visit(motion="reduce")
    page.locator("#images .enlarge:visible").nth(2).click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("figcaption").all_inner_texts()[0] == "uncached"
    assert dialog.locator(".clip").count() == 2
    assert dialog.locator(".clip").first.bounding_box()["height"] > 200
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    _videos(page)
    expect(page.locator("#play")).to_have_text("play")
    page.wait_for_timeout(250)
    expect(page.locator("#frame-number")).to_have_text("1 of 9")
    page.locator("#play").click()
    expect(page.locator("#frame-number")).to_have_text(re.compile("[2-9] of 9"))
