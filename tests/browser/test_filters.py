from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.looking import plotted, shown_rows

_SECTIONS = ("#measured", "#images", "#plans", "#reproduce")


def _chosen(page: Page, name: str) -> str:
    return page.evaluate("name => new FormData(document.querySelector('#filters')).get(name)", name)


def test_families_are_switched_off_and_on_everywhere(visit: Visit) -> None:
    page = visit()
    before = {section: shown_rows(page, section) for section in _SECTIONS}
    points = len(plotted(page, "[data-x=work]"))
    assert len(before["#measured"]) == 14
    assert points == 12  # neither the uncached run nor the one that failed has a PSNR
    page.locator("#methods summary").click()
    page.get_by_role("checkbox", name="taylorseer", exact=True).uncheck(force=True)
    for section in _SECTIONS:
        gone = set(before[section]) - set(shown_rows(page, section))
        assert gone == {"ref-flux-taylorseer-n7", "ref-flux-taylorseer-every5", "ref-flux-taylorseer-n10"}, section
    assert len(plotted(page, "[data-x=work]")) == len(plotted(page, "[data-x=cache]")) == points - 3
    assert "taylorseer-every5" not in page.locator("#method").inner_text()
    page.get_by_role("button", name="all", exact=True).click()
    assert shown_rows(page, "#measured") == before["#measured"]
    assert len(plotted(page, "[data-x=seconds]")) == points

    for box in page.locator("[name=family]").all():
        box.uncheck(force=True)
    assert shown_rows(page, "#measured") == ["uncached"]
    for nothing in ("#side", "#plans", "[data-x=work]"):
        expect(page.locator(nothing)).to_be_hidden()
    page.get_by_role("checkbox", name="lesa", exact=True).press("Space")
    assert shown_rows(page, "#plans") == ["ref-flux-lesa-n7", "ref-flux-lesa-n10"]
    expect(page.locator("#side")).to_be_visible()


def test_nfes_and_models_show_only_their_own(visit: Visit) -> None:
    page = visit()
    assert page.locator("#curve-plots .plot").count() == 2
    page.locator("[data-show-model='0'][data-show-nfe='8']").click()
    assert _chosen(page, "nfe") == "8"
    expect(page.locator("#measured")).to_be_in_viewport()
    shown = shown_rows(page, "#measured")
    assert {"uncached", "ref-flux-lesa-n10"} < set(shown)
    assert not [name for name in shown if name.endswith("-n7")]
    assert page.locator("#curve-plots .plot").count() == 1
    assert {round(10**x, 3) for x, _ in plotted(page, "[data-x=work]")} == {7.9, 8}  # a logarithmic axis

    page.get_by_role("radio", name="reference:flux").focus()
    page.keyboard.press("ArrowRight")
    assert _chosen(page, "model") == "1"
    expect(page.locator("#nfes")).to_be_hidden()  # all are at 10 steps
    assert _chosen(page, "nfe") == ""  # it has no methods at 8 steps: all are shown instead
    assert len(shown_rows(page, "#measured")) == 6
    assert "ref-hunyuan_video-lesa-n7" in shown_rows(page, "#plans")
    expect(page.locator("[data-family-choice=diffusers-magcache]")).to_be_hidden()
    expect(page.locator("[data-nfe-choice='8']")).to_be_hidden()
