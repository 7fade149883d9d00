from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from lesa_framework.measure.page.render import write_page
from tests.browser.conftest import Visit
from tests.browser.looking import assert_names_apart, becomes, middles_of_marks, pixels, plotted, settled, share_of
from tests.measure.page.samples import N7, sample_results

#: Of lesa, taylorseer and reuse; the last one is the card's own.
_LIGHT = ("#0b6e6e", "#b3541e", "#6a4fb3", "#ffffff")
_DARK = ("#5cc8bd", "#f0955c", "#b29df0", "#1e2125")


def _assert_drawn(page: Page, colours: tuple[str, ...]) -> None:
    *families, card = colours
    for plot in ("[data-x=work]", "[data-x=seconds]", "[data-x=cache]"):
        picture, marks = pixels(page, plot), middles_of_marks(page, plot)
        assert len(marks) == 12
        for colour in families:
            assert sum(share_of(picture[y : y + 1, x : x + 1], colour) for x, y in marks) >= 2, (plot, colour)
    picture = pixels(page, "#curve-plots .plot")
    assert 0.01 < 1 - share_of(picture, card) < 0.3
    for colour in families:
        assert share_of(picture, colour) > 1e-3, colour


def test_plots_hold_marks_in_the_colours_of_their_families(opened: Page) -> None:
    _assert_drawn(opened, _LIGHT)


def test_dark_is_dark_and_can_be_switched_by_hand(visit: Visit, opened: Page) -> None:
    page = visit(scheme="dark")
    _assert_drawn(page, _DARK)
    dark = settled(page, "#plots")
    page.get_by_role("button", name="Switch between light and dark").click()
    light = settled(opened, "#plots")
    assert becomes(page, "#plots", light)
    assert light.mean() > 200
    assert dark.mean() < 80
    page.get_by_role("button", name="Switch between light and dark").click()
    assert becomes(page, "#plots", dark)


def test_the_dashed_line_joins_the_pareto_front(opened: Page) -> None:
    points = plotted(opened, "[data-x=seconds]")
    unbeaten = [(x, y) for x, y in points if not any((a, b) != (x, y) and a <= x and b >= y for a, b in points)]
    assert plotted(opened, "[data-x=seconds]", trace=0) == sorted(unbeaten)
    assert 1 < len(unbeaten) < len(points)


def test_curves_are_logarithmic_and_mark_computed_steps(opened: Page) -> None:
    kind, sizes, values = opened.evaluate(
        """() => { const plot = document.querySelector("#curve-plots .plot");
        const line = plot.data.find(trace => trace.name === "ref-flux-lesa-n7");
        return [plot.layout.yaxis.type, line.marker.size, line.y]; }"""
    )
    assert kind == "log"
    assert [size > 0 for size in sizes] == [letter == "F" for letter in N7]
    assert values[2] is None  # no error at all cannot be shown on such an axis
    assert values[40] > 0


def test_names_in_plots_do_not_lie_on_each_other(opened: Page) -> None:
    assert_names_apart(opened)


def test_work_that_is_the_same_for_all_has_no_plot(visit: Visit, tmp_path: Path) -> None:
    results = sample_results()
    same = [row.model_copy(update={"work": 10.0, "nfe": 10}) if row.nfe != 50 else row for row in results.rows]
    path = tmp_path / "same.html"
    path.write_text(write_page(results.model_copy(update={"rows": same})), "utf-8")
    page = visit(path)
    assert page.locator("[data-x=seconds]").is_visible()
    assert not page.locator("[data-x=work]").is_visible()
