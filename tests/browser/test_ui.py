"""`lesa ui` in a real browser: ten steps of the bundled models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, Route, expect

from tests.browser.looking import pixels
from tests.browser.serving import Server, serving

pytestmark = pytest.mark.slow
_PHONE, _PATIENCE = 390, 30_000
#: All that a visitor can change.
_FIELDS = (
    "Prompt", "Model", "range slider for Speed-up", "Method", "Seed", "range slider for Steps",
    "range slider for Divider",
)  # fmt: skip
#: What a run is asked with.
_ASKED = ("Model", "Prompt", "Seed", "Steps", "Method", "Speed-up")
#: Presses the tabulator key in the first list as soon as it is there, and keeps whether the list heard of it.
_TAB_AT_ONCE = """
new MutationObserver((_, observer) => {
    const list = document.querySelector("[role=combobox]");
    if (list === null) return;
    observer.disconnect();
    window.heard = false;
    list.addEventListener("keydown", () => { window.heard = true; });
    list.dispatchEvent(new KeyboardEvent("keydown", {key: "Tab", bubbles: true}));
}).observe(document, {childList: true, subtree: true});
"""
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("--steps", "10", "--device", "cpu") as found:
        yield found


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Open]:
    """`visit(width=390, scheme="dark")` opens the page; a request to another machine, or an error, fails the test."""
    said: list[str] = []
    contexts: list[BrowserContext] = []

    def note(request: Request) -> None:
        if not request.url.startswith((server.address, "data:", "blob:")):
            said.append(f"request: {request.url[:200]}")

    def open_page(width: int = 1280, scheme: str = "light", script: str = "") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(_PATIENCE)
        page.add_init_script(script)
        page.on("request", note)
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("console", lambda line: said.append(f"{line.type}: {line.text}") if line.type == "error" else None)
        page.goto(server.address)
        # Each kind of field is loaded for itself, so the buttons may be there before the lists.
        for name in _FIELDS:
            expect(_field(page, name)).to_be_visible(timeout=_PATIENCE)
        expect(_button(page, "Run")).to_be_enabled(timeout=_PATIENCE)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def _button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def _field(page: Page, name: str) -> Locator:
    return page.get_by_label(name, exact=True)


def _run(page: Page) -> None:
    """Press Run and wait for the end."""
    _button(page, "Run").click()
    expect(_button(page, "Stop")).to_be_enabled(timeout=_PATIENCE)
    expect(_button(page, "Run")).to_be_enabled(timeout=_PATIENCE)


def test_a_prompt_becomes_two_pictures_and_a_report(visit: Open) -> None:
    page = visit()
    report = page.locator("#report")
    _field(page, "Prompt").fill("  ")
    _button(page, "Run").click()
    expect(page.get_by_role("alert")).to_have_text("Prompt: is empty. Say what to draw.")
    expect(_button(page, "Run")).to_be_enabled()
    _field(page, "Prompt").fill("a red ring on blue")
    for seed in ("-3", "1.5"):
        _field(page, "Seed").fill(seed)
        _button(page, "Run").click()
        expect(page.get_by_role("alert")).to_contain_text(f"Seed: {seed} is not a whole number from 0 to")
        expect(_button(page, "Run")).to_be_enabled()
    _field(page, "Seed").fill("0")
    _run(page)
    expect(page.locator("#pair img")).to_have_count(2)
    figures = page.locator(".lesa-figures dd").all_inner_texts()
    assert figures[1] == "2 of 10"
    assert figures[2].endswith(" dB")
    expect(report).to_contain_text("taylorseer (no weights)")
    expect(report).not_to_contain_text("kept from before")
    assert [page.locator(f".lesa-cells .{each}").count() for each in ("computed", "predicted")] == [2, 8]
    assert pixels(page, "#pair").std() > 20  # there is a picture in it
    page.locator(".lesa-figures dd").nth(1).evaluate("each => { each.textContent = '200 of 1000' }")
    for width in (360, 700, 800, 900, 1024, 1100, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        for inner, outer in page.eval_on_selector_all(
            ".lesa-figures, .lesa-figures > div, #steps", "all => all.map(each => [each.scrollWidth, each.clientWidth])"
        ):
            assert inner <= outer, width
    # Another speed-up or method shows its cached run at once, and the uncached one is kept.
    _field(page, "range slider for Speed-up").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(page.locator(".lesa-figures")).to_contain_text("4 of 10", timeout=_PATIENCE)
    expect(report).to_contain_text("kept from before")
    _field(page, "Method").click()
    page.get_by_role("option", name="reuse: no weights").click()
    expect(report).to_contain_text("reuse on evenly spread steps", timeout=_PATIENCE)


def test_everything_is_reached_by_keys(visit: Open) -> None:
    page = visit()
    prompt = _field(page, "Prompt")
    prompt.fill("a red ring")
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText")
        reached.append(name.strip())
    wanted = [
        "Another prompt", "Model", "range slider for Speed-up", "Method", "Seed", "range slider for Steps", "Run",
        "range slider for Divider",
    ]  # fmt: skip
    assert [name for name in reached if name in wanted] == wanted
    expect(prompt).to_have_value("a red ring")  # passing by changes nothing
    expect(page.get_by_role("listbox")).to_have_count(0)
    prompt.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".lesa-report")).to_be_visible(timeout=_PATIENCE)
    line = page.locator("#pair [data-testid=slider]")
    box = line.bounding_box()
    assert box is not None
    _field(page, "range slider for Divider").focus()
    page.keyboard.press("Home")
    page.wait_for_function(
        "there => document.querySelector('#pair [data-testid=slider]').getBoundingClientRect().x < there", arg=box["x"]
    )


def test_lists_never_hear_of_the_tabulator_key(visit: Open) -> None:
    assert visit(script=_TAB_AT_ONCE).evaluate("window.heard") is False  # they would open while they are left


def test_clips_stand_side_by_side_and_share_a_slider(visit: Open) -> None:
    page = visit()
    _field(page, "Model").click()
    page.get_by_role("option", name="reference:hunyuan_video").click()
    expect(_field(page, "Prompt")).not_to_have_value("a yellow ring on cyan", timeout=_PATIENCE)
    _run(page)
    expect(page.locator("#pair")).to_be_hidden()
    both = page.locator("#clip img")
    expect(both).to_have_count(2)
    first = [str(each.get_attribute("src")) for each in both.all()]
    page.locator("#frame input[type=range]").focus()
    page.keyboard.press("End")
    expect(both.first).not_to_have_attribute("src", first[0], timeout=_PATIENCE)
    expect(both.last).not_to_have_attribute("src", first[1], timeout=_PATIENCE)


def test_a_second_visitor_waits_and_a_run_can_be_stopped(visit: Open) -> None:
    page, other = visit(), visit()
    page.locator("#steps input[type=number]").fill("100")
    page.keyboard.press("Tab")
    _field(page, "Prompt").fill("a green cross")
    _button(page, "Run").click()
    expect(_button(page, "Stop")).to_be_enabled()
    _field(other, "Prompt").fill("a blue star")
    _button(other, "Run").click()
    expect(page.locator("#pair")).to_contain_text("/100 steps", timeout=_PATIENCE)
    expect(other.locator(".lesa-report")).to_have_count(0)
    _button(page, "Stop").click()
    expect(_button(page, "Run")).to_be_enabled()
    expect(other.locator(".lesa-figures")).to_contain_text("2 of 10", timeout=_PATIENCE)
    expect(page.locator(".lesa-report")).to_have_count(0)


def test_the_newest_value_of_a_field_waits_while_an_earlier_one_is_answered(visit: Open, server: Server) -> None:
    events = visit().request.get(f"{server.address}/config").json()["dependencies"]
    queued = [
        (name, each["trigger_mode"]) for each in events if each["queue"] for _, name in each["targets"]
        if name in ("input", "change", "release")
    ]  # fmt: skip
    assert {name for name, _ in queued} == {"input", "change", "release"}
    assert {mode for _, mode in queued} == {"always_last"}, "gradio passes over the others that come meanwhile"


def test_what_another_speedup_begins_can_be_stopped(visit: Open) -> None:
    page = visit()
    page.locator("#steps input[type=number]").fill("100")
    page.keyboard.press("Tab")
    _run(page)
    expect(page.locator(".lesa-figures")).to_contain_text("20 of 100", timeout=_PATIENCE)
    _field(page, "range slider for Speed-up").focus()
    page.keyboard.press("Home")  # 1.5: 67 steps are computed
    _button(page, "Stop").click()
    expect(_button(page, "Run")).to_be_enabled()
    expect(page.locator(".lesa-figures")).to_contain_text("20 of 100")
    _run(page)
    expect(page.locator(".lesa-figures")).to_contain_text("67 of 100")


def test_a_field_that_gradio_refuses_leaves_the_page_as_it_is(browser: Browser) -> None:
    def spoil(route: Route) -> None:
        asked = route.request.post_data_json
        if len(asked["data"]) == len(_ASKED):
            asked["data"][_ASKED.index("Steps")] = 5000
        route.continue_(post_data=asked)

    # Gradio prints a traceback.
    with serving("--device", "cpu", silent=False) as server, browser.new_page() as page:
        page.route("**/queue/join*", spoil)
        page.goto(server.address)
        expect(_button(page, "Run")).to_be_enabled(timeout=_PATIENCE)
        page.locator("#steps input[type=number]").fill("1")
        page.keyboard.press("Tab")
        expect(page.get_by_text("Value 1 is less than minimum value 2.")).to_be_visible(timeout=_PATIENCE)
        expect(page.locator("#report, .form").locator(".wrap:not(.hide) .error")).to_have_count(0)
        _button(page, "Run").click()
        expect(page.get_by_text("Value 5000 is greater than maximum value 100.")).to_be_visible(timeout=_PATIENCE)
        expect(_button(page, "Run")).to_be_enabled()
        expect(_button(page, "Stop")).to_be_disabled()


def test_open_pages_do_not_delay_the_end(browser: Browser) -> None:
    with browser.new_page() as page:
        with serving("--steps", "100", "--device", "cpu") as server:
            page.goto(server.address)
            expect(_button(page, "Run")).to_be_enabled(timeout=_PATIENCE)
            _button(page, "Run").click()
            expect(page.locator("#pair")).to_contain_text("/100 steps", timeout=_PATIENCE)
            began = monotonic()
        assert monotonic() - began < 5


def test_a_dark_phone_scrolls_the_page_in_one_direction_only(visit: Open) -> None:
    page = visit(_PHONE, "dark")
    _run(page)
    page.locator(".lesa-report").wait_for()
    assert page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]") == [_PHONE, _PHONE]
    assert pixels(page, "#report").mean() < 110


def test_nothing_is_connected_to_and_no_warning_is_printed(server: Server) -> None:
    assert server.said == f"loading reference:flux\nthe page is at {server.address}  (Ctrl-C ends it)\n"
