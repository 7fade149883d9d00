"""The page: whole, self-contained, and true to the record."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lesa_framework.search.page import write_page
from lesa_framework.search.page.view import HEIGHT, WIDTH, finalists_of, plot_of, strips_of
from lesa_framework.search.record import Record, Tried

ABOUT = {
    "model": "reference:flux", "num_steps": 10, "nfe": 3, "predictor": "fitted", "guide": "fitted", "seed": 0,
    "fit_prompts": 6, "tried_prompts": 2, "judge_prompts": 2,
}  # fmt: skip


def a_record(**changes: Any) -> Record:
    found = {
        "fingerprint": "f",
        "about": ABOUT,
        "whole": 2,
        "tried": [
            Tried(steps=(0, 3, 6), db=(20.0, 22.0)),
            Tried(steps=(0, 1, 2), db=(2.0,)),
            Tried(steps=(0, 3, 7), db=(21.0, 24.0)),
            Tried(steps=(0, 2, 7), db=(21.0, 23.0)),
            Tried(steps=(0, 4, 7), db=(23.0, 24.0)),
        ],
        "compared": [Tried(steps=(0, 3, 6), db=(20.0, 22.0)), Tried(steps=(0, 4, 7), db=(23.0, 24.0))],
        "seconds": 90.0,
    }
    return Record(**{**found, **changes})


class _Tags(HTMLParser):
    """Every element that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    "record",
    [
        a_record(),
        a_record(tried=[]),
        a_record(tried=[Tried(steps=(0, 3, 6), db=(20.0, 22.0))], about={**ABOUT, "guide": "taylorseer"}),
        a_record(final=Tried(steps=(0, 4, 7), db=(24.0, 25.0))),
    ],
    ids=["usual", "nothing tried", "one", "fitted"],
)
def test_the_page_is_whole_and_fetches_nothing(record: Record) -> None:
    page = write_page(record, Path("found/mine.yaml"))
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert not re.search(r"https?://|<script|url\(", page)
    assert "It computes <b>0 4 7</b>. In the comparison the final latents are 23.50 dB" in page
    assert "with even steps they are 21.00 dB" in page
    assert "<th>in the search, dB</th><th>in the comparison, dB</th>" in page
    assert ("settings: <b>24.50 dB</b>" in page) is (record.final is not None)


def test_names_are_shown_as_they_are() -> None:
    assert "&lt;b&gt;mine" in write_page(a_record(), Path("<b>mine.yaml"))


def test_a_dropped_candidate_stands_as_far_from_even_steps_as_on_its_prompts() -> None:
    record = a_record()
    dropped, judged = Tried(steps=(0, 1, 2), db=(21.0,)), Tried(steps=(0, 2, 7), db=(21.0, 23.0))
    plot = plot_of(record.model_copy(update={"tried": [record.tried[0], dropped, judged, record.tried[4]]}))
    assert plot is not None
    assert plot.marks[1].sort == "dropped"
    assert plot.marks[1].y == pytest.approx(plot.marks[2].y)


def test_the_plot_has_every_candidate_and_the_line_to_beat() -> None:
    plot = plot_of(a_record())
    assert plot is not None
    assert [mark.sort for mark in plot.marks] == ["better", "dropped", "better", "tried", "better"]
    assert plot.marks[1].title == "2: 2.00 dB, dropped after 1 prompts: 0 1 2"
    assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT for mark in plot.marks)
    assert plot.marks[0].y == plot.even
    assert plot.marks[4].y < plot.marks[2].y < plot.even < plot.marks[1].y
    heights = [height for height, _ in plot.levels]
    assert 3 <= len(heights) <= 8
    assert heights == sorted(heights, reverse=True)
    assert plot_of(a_record(tried=[])) is None


def test_strips_show_what_each_move_changed() -> None:
    newest, middle, even = strips_of(a_record())
    assert (newest.number, middle.number, even.number) == (5, 3, 1)
    assert [index for index, cell in enumerate(even.cells) if cell == "computed"] == [0, 3, 6]
    assert (newest.cells[3], newest.cells[4], newest.cells[7]) == ("gone", "come", "computed")


def test_finalists_are_compared_with_even_steps_prompt_by_prompt() -> None:
    best, even = finalists_of(a_record())
    assert (best.steps, best.searched, best.gain, best.error) == ((0, 4, 7), 23.5, 2.5, 0.5)
    assert (even.gain, even.error) == (0.0, 0.0)
