from __future__ import annotations

from lesa_framework.ui.pictures import pictures_of
from lesa_framework.ui.render import message_html, report_html
from lesa_framework.ui.words import account
from tests.ui.samples import CHOICE, sample_outcome, sample_run


def test_the_report_holds_every_word_of_the_account() -> None:
    told = account(sample_outcome(sample_run({"cond": "FPFP"}, CHOICE), notes=("a <note>",)))
    page = report_html(told)
    for words in (told.chosen, told.why, told.time, told.close, *(figure.number for figure in told.figures)):
        assert words in page
    assert "a &lt;note&gt;" in page
    assert page.count('<span class="predicted"') == page.count('<span class="computed"') == 2


def test_a_message_is_text_and_an_error_is_announced() -> None:
    assert message_html("<b>") == '<div class="lesa-message" role="status">&lt;b&gt;</div>'
    assert message_html("no", is_error=True) == '<div class="lesa-message lesa-error" role="alert">no</div>'


def test_pictures_are_large_enough_to_see_and_clips_have_frames() -> None:
    run = sample_run({"cond": "FPFP"})
    one = sample_outcome(run)
    pair = pictures_of(one.uncached, one.cached)
    assert not pair.is_clip
    assert [each.size for each in (*pair.uncached, *pair.cached)] == [(512, 512)] * 2
    assert [each.getpixel((9, 9)) for each in (*pair.uncached, *pair.cached)] == [(0, 0, 0), (255, 255, 255)]
    clip = sample_outcome(run, frames=3)
    assert len(pictures_of(clip.uncached, clip.cached).cached) == 3
    assert pictures_of(clip.uncached, clip.cached).is_clip
