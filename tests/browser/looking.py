"""What a page shows, read from the page itself."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page


def shown_rows(page: Page, within: str) -> list[str]:
    """Names of the methods that a section shows, by the rows that its visible elements carry."""
    return page.evaluate(
        """within => [...document.querySelectorAll(`${within} [data-row]`)]
        .filter(element => element.checkVisibility())
        .map(element => JSON.parse(document.querySelector("#payload").textContent).rows[element.dataset.row].name)""",
        within,
    )


def plotted(page: Page, plot: str, trace: int = 1) -> list[tuple[float, float]]:
    """The points of a plot's trace."""
    found = page.evaluate(
        "([plot, trace]) => { const one = document.querySelector(plot).data[trace]; return [one.x, one.y]; }",
        [plot, trace],
    )
    return list(zip(*found, strict=True))


def pixels(page: Page, selector: str) -> NDArray[np.int16]:
    """A picture of one element, shape (height, width, 3)."""
    taken = page.locator(selector).first.screenshot(animations="disabled")
    return np.asarray(Image.open(io.BytesIO(taken)).convert("RGB"), dtype=np.int16)


#: An element has settled when so many pictures in a row are alike, and is watched for so many at most.
_ALIKE, _PICTURES = 4, 40


def settled(page: Page, selector: str) -> NDArray[np.int16]:
    """A picture of one element when some in a row are alike: on a busy machine plots are redrawn late."""
    before, alike = pixels(page, selector), 1
    for _ in range(_PICTURES):
        page.wait_for_timeout(100)
        now = pixels(page, selector)
        alike = alike + 1 if np.array_equal(before, now) else 1
        if alike == _ALIKE:
            return now
        before = now
    raise AssertionError(f"{selector}: still changing after {_PICTURES} pictures")


def becomes(page: Page, selector: str, expected: NDArray[np.int16]) -> bool:
    """Whether an element looks like that, at once or after it was redrawn."""
    for _ in range(_PICTURES):
        if np.array_equal(pixels(page, selector), expected):
            return True
        page.wait_for_timeout(100)
    return False


def middles_of_marks(page: Page, plot: str) -> list[tuple[int, int]]:
    """Where the marks of a plot are in its picture: x and y."""
    found = page.evaluate(
        """plot => { const frame = document.querySelector(plot).getBoundingClientRect();
        return [...document.querySelectorAll(`${plot} path.point`)].map(mark => {
            const box = mark.getBoundingClientRect();
            return [(box.left + box.right) / 2 - frame.left, (box.top + box.bottom) / 2 - frame.top];
        }); }""",
        plot,
    )
    return [(round(x), round(y)) for x, y in found]


def share_of(picture: NDArray[np.int16], colour: str, near: int = 12) -> float:
    """Which share of a picture's pixels has nearly a colour, such as `#0b6e6e`."""
    wanted = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)])
    return float((np.abs(picture - wanted).max(axis=-1) <= near).mean())


def assert_names_apart(page: Page) -> None:
    """Each plot of PSNR has some names, and none lies on another."""
    plots = page.evaluate(
        """() => [...document.querySelectorAll("#plots .plot")].map(plot =>
        [...plot.querySelectorAll(".annotation-text")].map(text => {
            const box = text.getBoundingClientRect();
            return [box.left, box.right, box.top + 3, box.bottom - 3];
        }))"""
    )
    assert len(plots) == 3
    for boxes in plots:
        assert len(boxes) >= 5
        for number, (left, right, top, bottom) in enumerate(boxes):
            for other in boxes[:number]:
                assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top
