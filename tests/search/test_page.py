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
    assert "<b>2.50 dB closer</b> to the uncached run than as many even steps, and closer on 2 of 2 prompts" in page
    assert "<dt>closeness</dt><dd>23.50 dB</dd>" in page
    assert "<dt>with even steps</dt><dd>21.00 dB</dd>" in page
    assert "Computed steps, from 0: <b>0 4 7</b>" in page
    assert "<th>in the search, dB</th><th>in the comparison, dB</th>" in page
    assert ("real settings</dt><dd>24.50 dB</dd>" in page) is (record.final is not None)


def test_a_search_that_found_nothing_says_so_and_whether_more_can_be_tried() -> None:
    even = Tried(steps=(0, 3, 6), db=(20.0, 22.0))
    record = a_record(tried=[even, Tried(steps=(0, 1, 2), db=(2.0,))], compared=[even])
    page = write_page(record, Path("mine.yaml"))
    assert "<b>Nothing was closer than even steps</b>" in page
    assert "Only 2 candidates were tried" in page
    assert "dB closer" not in page
    assert "The comparison at the end" not in page
    whole = write_page(record, Path("mine.yaml"), exhausted=True)
    assert "Every choice of steps was tried." in whole
    assert "goes on" not in whole


def test_steps_that_only_the_search_found_closer_are_not_called_so() -> None:
    even, best = Tried(steps=(0, 3, 6), db=(20.0, 22.0)), Tried(steps=(0, 4, 7), db=(19.0, 21.5))
    page = write_page(a_record(compared=[even, best]), Path("mine.yaml"))
    assert "In the comparison alone even steps are 0.75 dB closer" in page


def test_the_next_commands_are_there_and_none_where_no_model_is_named() -> None:
    page = write_page(a_record(), Path("my found/mine.yaml"))
    assert "lesa eval &#39;my found/mine.yaml&#39;\nlesa generate --config &#39;my found/mine.yaml&#39;" in page
    assert "lesa.accelerate(pipe, &#34;my found/mine.yaml&#34;)" in page
    unnamed = write_page(a_record(about={**ABOUT, "model": None}), Path("mine.yaml"))
    assert "lesa generate" not in unnamed
    assert "lesa.accelerate" in unnamed


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


def test_the_axis_has_labels_where_nothing_was_closer_than_even_steps() -> None:
    plot = plot_of(a_record(tried=[Tried(steps=(0, 3, 6), db=(20.0, 22.0)), Tried(steps=(0, 1, 2), db=(2.0,))]))
    assert plot is not None
    assert len(plot.levels) >= 3


def test_strips_show_what_each_move_changed() -> None:
    newest, middle, even = strips_of(a_record())
    assert (newest.number, middle.number, even.number) == (5, 3, 1)
    assert [index for index, cell in enumerate(even.cells) if cell == "computed"] == [0, 3, 6]
    assert (newest.cells[3], newest.cells[4], newest.cells[7]) == ("gone", "come", "computed")


def test_finalists_are_compared_with_even_steps_prompt_by_prompt() -> None:
    best, even = finalists_of(a_record())
    assert (best.steps, best.number, best.searched, best.gain, best.error) == ((0, 4, 7), 5, 23.5, 2.5, 0.5)
    assert (best.closer, best.prompts, best.is_even) == (2, 2, False)
    assert (even.gain, even.error, even.is_even) == (0.0, 0.0, True)
