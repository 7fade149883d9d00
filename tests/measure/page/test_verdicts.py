from __future__ import annotations

import pytest

from lesa_framework.measure.page.verdicts import Verdict, answers, grid_columns, verdicts
from lesa_framework.measure.results import Difference, Kind, ModelResults, Results, Row
from tests.measure.page.samples import METRICS


def row(name: str, family: str, psnr: float | None, kind: Kind = Kind.CACHE, **more: object) -> Row:
    return Row.model_validate(
        {
            "model": "m", "name": name, "kind": kind, "family": family, "nfe": 10, "num_steps": 50, "work": 10,
            "psnr_db": psnr, **more,
        }
    )  # fmt: skip


def against(ours: str, theirs: str, mean: float, low: float | None, high: float | None) -> Difference:
    return Difference(
        model="m", nfe=10, ours=ours, theirs=theirs, mean_db=mean, low_db=low, high_db=high, better_share=1.0
    )


def verdict(rows: list[Row], differences: list[Difference]) -> Verdict:
    found = ModelResults(model="m", num_steps=50, batch=1)
    (only,) = verdicts(Results(rows=rows, metrics=METRICS, models=[found], differences=differences))
    return only


PLAIN = row("fewer_steps_10", "fewer_steps", 27.0, Kind.FEWER_STEPS, num_steps=10)


def test_our_own_loss_is_stated_as_such() -> None:
    rows = [row("lesa-n7", "lesa", 30.0), row("taylorseer-n7", "taylorseer", 33.2), PLAIN]
    found = verdict(
        rows,
        [
            against("taylorseer-n7", "lesa-n7", 3.2, 2.14, 4.26),
            against("taylorseer-n7", "fewer_steps_10", 6.2, 5.0, 7.4),
        ],
    )
    assert found.winner is not None
    assert found.winner.name == "taylorseer-n7"
    assert found.work == "5×"
    assert [(remark.tone, remark.text) for remark in found.remarks] == [
        ("lost", "LESA loses: lesa-n7 is 3.2 dB behind, between 2.1 and 4.3"),
        ("ahead", "6.2 dB ahead of 10 plain steps, between 5.0 and 7.4"),
    ]


def test_an_interval_with_zero_in_it_is_level() -> None:
    found = verdict([row("lesa-n7", "lesa", 27.2), PLAIN], [against("lesa-n7", "fewer_steps_10", 0.234, -0.4, 0.85)])
    (remark,) = found.remarks
    assert remark.tone == "level"
    assert remark.text == "level with 10 plain steps: +0.23 dB, between −0.40 and +0.85"


def test_one_prompt_has_no_interval() -> None:
    found = verdict([row("a", "a", 30.0), row("b", "b", 29.0)], [against("a", "b", 1.0, None, None)])
    assert [remark.text for remark in found.remarks] == [
        "1.0 dB ahead of b, on the one prompt that both have a PSNR of"
    ]


def test_who_is_behind_on_the_pairs_of_both_is_level_whatever_the_means_say() -> None:
    rows = [row("b", "b", 39.5), row("lesa-n7", "lesa", 30.0)]
    (remark,) = verdict(rows, [against("b", "lesa-n7", -1.0, None, None)]).remarks
    assert remark == ("level with lesa-n7: −1.0 dB, on the one prompt that both have a PSNR of", "level")
    assert not {"behind", "ahead"} & set(remark.text.split())
    (remark,) = verdict([row("a", "a", 30.0), row("lesa-n7", "lesa", 30.0)], []).remarks
    assert remark == ("level with lesa-n7: +0.00 dB", "level")


def test_plain_steps_that_are_behind_on_the_pairs_of_both_are_not_called_the_closest() -> None:
    found = verdict([row("a", "a", 26.0), PLAIN], [against("fewer_steps_10", "a", -1.0, None, None)])
    assert found.remarks[0] == (
        "A plain run with fewer steps has the highest PSNR, but is not certain to be ahead.", "level",
    )  # fmt: skip


def test_plain_steps_that_win_are_stated_first() -> None:
    found = verdict([row("lesa-n7", "lesa", 26.0), PLAIN], [against("fewer_steps_10", "lesa-n7", 1.0, 0.5, 1.5)])
    assert [remark.tone for remark in found.remarks] == ["lost", "lost"]
    assert found.remarks[0].text.startswith("No cache pays off here")


@pytest.mark.parametrize(
    ("low", "high", "told"), [(-1.0, 3.0, "but is not certain to be ahead."), (None, None, "on the one prompt")]
)
def test_plain_steps_that_may_not_be_ahead_are_no_verdict(low: float | None, high: float | None, told: str) -> None:
    found = verdict([row("a", "a", 26.0), PLAIN], [against("fewer_steps_10", "a", 1.0, low, high)])
    assert found.remarks[0].tone == "level"
    assert told in found.remarks[0].text


def test_the_next_two_ours_the_best_peer_and_plain_steps_are_named_once_each() -> None:
    rows = [row(name, name, 40.0 - place) for place, name in enumerate("abcd")]
    rows += [row("peer", "p", 21.0, Kind.PEER), row("peer2", "p", 20.5, Kind.PEER)]
    rows += [row("lesa-n7", "lesa", 20.0), row("lesa-n8", "lesa", 19.0), PLAIN]
    texts = [remark.text for remark in verdict(rows, []).remarks]
    assert [text.split()[-1] for text in texts[:2]] == ["b", "c"]
    assert texts[2:] == [
        "13.0 dB ahead of 10 plain steps",
        "19.0 dB ahead of peer",
        "LESA loses: lesa-n7 is 20.0 dB behind",
    ]


def test_a_winner_that_did_more_work_says_so_and_names_the_closest_within() -> None:
    peer = row("mask", "p", 35.0, Kind.PEER, work=15.71, whole_steps=10.0)
    other = row("mask2", "p", 34.0, Kind.PEER, work=15.71, whole_steps=10.0)
    found = verdict([peer, other, row("lesa-n7", "lesa", 33.0), PLAIN], [])
    assert found.winner == peer
    said = "It is ranked by its 10 whole steps, and did the work of 15.7."
    closest = "Of the methods that did no more than 10, lesa-n7 is the closest."
    assert found.remarks[0] == (f"{said} {closest}", "level")
    assert verdict([peer, other], []).remarks[0].text == said


def test_excluded_methods_are_listed_with_the_reason() -> None:
    rows = [
        row("a", "a", 30.0),
        row("b", "b", None, Kind.PEER, error="ValueError: no"),
        row("c", "c", 35.0, Kind.PEER, work=12.44),
        row("d", "d", None, ssim=1.0),
        row("e", "e", None),
    ]
    found = verdict(rows, [])
    assert found.excluded == (
        "b: failed: ValueError: no",
        "c: did the work of 12.4 steps, more than 10",
        "d: its samples are identical to the uncached run's",
        "e: its samples were not scored",
    )
    assert [remark.text for remark in found.remarks] == ["No other method competes here."]


def test_nothing_may_compete() -> None:
    bare = row("uncached", "uncached", None, Kind.UNCACHED, ssim=1.0)
    found = verdict([bare, row("b", "b", None, Kind.PEER, error="no")], [])
    assert found.winner is None
    assert found.remarks == ()


def _verdict(model: str, nfe: int, num_steps: int = 50, winner: str = "best") -> Verdict:
    return Verdict(model, nfe, num_steps, row(winner, "a", 30.0) if winner else None, (), ())


FOUND = [_verdict("a", 8), _verdict("a", 10), _verdict("b", 6, 30), _verdict("c", 8, winner="")]


def test_winners_are_grouped_by_work_and_not_by_steps() -> None:
    told = {work: [verdict.model for verdict in each] for work, each in answers(FOUND).items()}
    assert told == {"5×": ["a", "b"], "6.25×": ["a"]}
    assert list(told) == ["5×", "6.25×"]


@pytest.mark.parametrize(
    ("sizes", "columns"),
    [
        ([1], 1), ([2], 2), ([3], 3), ([1, 1, 1], 3), ([2, 1], 3), ([1, 1], 2), ([2, 1, 1], 2), ([2, 2], 2),
        ([4], 2), ([3, 3], 3), ([2, 2, 2], 2), ([1, 1, 1, 1, 1], 2), ([1, 2, 1], 2),
    ],
)  # fmt: skip
def test_cards_fill_their_lines(sizes: list[int], columns: int) -> None:
    assert grid_columns(sizes) == columns


def test_where_no_cache_was_measured_none_is_judged() -> None:
    found = verdict([PLAIN, row("fewer_steps_10b", "fewer_steps", 26.0, Kind.FEWER_STEPS, num_steps=10)], [])
    assert found.remarks[0] == ("No cache was compared here.", "level")
