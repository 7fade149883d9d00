from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lesa_framework.errors import PeerError
from lesa_framework.measure.counting import Count
from lesa_framework.measure.matching import Match, Measure, Trial, match, peer_with


@dataclass
class Pipe:
    transformer: nn.Module = field(default_factory=nn.Identity)
    attached: list[object] = field(default_factory=list)


@dataclass(frozen=True)
class FakePeer:
    name: str
    work: float | Exception

    @property
    def settings(self):
        return {"knob": str(self.work)}

    @contextmanager
    def attach(self, pipe):
        pipe.attached.append(self.work)
        try:
            yield
        finally:
            pipe.attached.pop()


@dataclass(frozen=True)
class FakeFamily:
    works: list[list[float | Exception]]
    refused: str | None = None
    name: str = "fake"

    def refusal(self, pipe):
        return self.refused

    def ladders(self, pipe, workload):
        if not self.works:
            raise PeerError("no ratios")
        return [[FakePeer(self.name, work) for work in ladder] for ladder in self.works]


def counted(pipe):
    (work,) = pipe.attached
    if isinstance(work, Exception):
        raise work
    return counting_of(work)


def counting_of(work):
    return Count(50, block_nfe=work + 5, flops_nfe=work, full_steps=int(work) - 1, flops=0, plans=())


def workload(quality=None):
    return SimpleNamespace(counted=counted, known={}, quality=quality)


def elsewhere(knob, work=None, **other):
    return Match(Trial(FakePeer("elsewhere", knob), counting_of(knob if work is None else work)), **other)


def found(works, nfe=10, measure=Measure.FLOPS, refused=None, start=None):
    pipe = Pipe()
    begin = start if start is None or isinstance(start, Match) else elsewhere(start)
    result = match(FakeFamily(works, refused), pipe, workload(), nfe, measure, start=begin)
    assert pipe.attached == []
    return result


@pytest.mark.parametrize("nfe", [1, 7, 7.5, 50, 80])
def test_the_candidate_at_or_just_below_the_nfe_is_found_in_a_few_runs(nfe):
    result = found([list(range(50, 0, -1))], nfe)
    assert result.chosen.work.flops_nfe == min(50, int(nfe))
    assert (result.reached, result.error, result.note) == (True, None, "")
    assert len(result.tried) <= 7


def test_the_measure_decides():
    ladder = [list(range(50, 0, -1))]
    assert found(ladder, measure=Measure.STEPS).chosen.work.flops_nfe == 11


def test_near_below_is_near_enough():
    result = found([[50, 9.95, 10, 3]])
    assert result.chosen.work.flops_nfe == 9.95
    assert len(result.tried) == 2


def test_work_that_does_not_fall_from_rung_to_rung_still_gives_the_best_that_was_seen():
    result = found([[50, 40, 8, 30, 20, 6, 4]])
    best = max(trial.work.flops_nfe for trial in result.tried if trial.work.flops_nfe <= 10)
    assert result.chosen.work.flops_nfe == best


def test_the_next_ladder_is_for_what_the_first_cannot_reach_and_the_note_says_so():
    result = found([[50, 20], [50, 9, 5]])
    assert result.chosen.work.flops_nfe == 9
    assert result.reached
    assert result.note == "knob = 20 does 20.00, more than 10."


def judged(works, best, nfe=10):
    """A search where somebody looks at the pictures; those of one candidate are the best."""

    def seen(pipe):
        return replace(counted(pipe), quality=float(pipe.attached == [best]))

    load = SimpleNamespace(counted=seen, known={}, quality=object())
    return match(FakeFamily(works), Pipe(), load, nfe)


@pytest.mark.parametrize("best", [9, 8, 7])
def test_where_pictures_are_judged_the_best_of_all_ladders_is_chosen(best):
    result = judged([[50, 9], [50, 8, 6], [50, 20], [50, 12, 7, 3]], best)
    assert result.chosen.work.flops_nfe == best
    assert result.reached
    assert result.note == (
        "knob = 20 does 20.00, more than 10. Of 3 settings that reach 10, it is the one with the best pictures."
    )


def test_a_single_ladder_that_reaches_the_nfe_needs_no_note_though_pictures_are_judged():
    assert judged([[50, 9]], 9).note == ""


def test_each_further_ladder_begins_where_the_last_one_ended():
    ladder = [float(work) for work in range(128, 0, -1)]
    alone = len(judged([ladder], 10).tried)
    assert len(judged([ladder, ladder], 10).tried) <= alone + 2


def test_an_nfe_out_of_reach_gives_the_least_and_says_so():
    result = found([[50, 20], [50, 15]])
    assert not result.reached
    assert result.chosen.work.flops_nfe == 15
    assert result.note.startswith("Cannot do as little as 10: the least is 15.00.")


def test_a_peer_that_fails_is_a_row_with_its_error():
    result = found([[ValueError("No cache\ncontext is set.")]])
    assert result.chosen is None
    assert result.error == "knob = No cache\ncontext is set. failed: ValueError: No cache context is set."


def test_another_ladder_may_work_where_one_fails():
    result = found([[AssertionError("8 blocks")], [50, 9]])
    assert result.chosen.work.flops_nfe == 9
    assert "AssertionError: 8 blocks" in result.note


def test_a_failure_half_way_up_is_reported_too():
    result = found([[50, RuntimeError("overflow"), 5]])
    assert result.chosen.work.flops_nfe == 5
    assert result.reached
    assert result.note == "knob = overflow failed: RuntimeError: overflow"


def test_a_failure_half_way_up_sends_the_search_to_the_next_ladder_first():
    result = found([[50, RuntimeError("overflow"), 5], [50, 9, 1]])
    assert (result.chosen.work.flops_nfe, result.reached) == (9, True)
    assert "overflow" in result.note


def test_refusals_and_failed_preparations_are_errors():
    assert found([[1]], refused="is not installed").error == "is not installed"
    assert found([]).error == "PeerError: no ratios"


def test_a_family_that_breaks_when_it_is_asked_is_a_row_too():
    class Broken(FakeFamily):
        def refusal(self, pipe):
            raise AttributeError("no layers")

    assert match(Broken([[1]]), Pipe(), workload(), 10).error == "AttributeError: no layers"


@pytest.mark.parametrize("names", [("transformer", "transformer_2"), ("transformer_2",)])
def test_peers_need_exactly_one_transformer_by_that_name(names):
    pipe = SimpleNamespace(**{name: nn.Identity() for name in names})
    result = match(FakeFamily([[1]]), pipe, workload(), 10)
    assert result.chosen is None
    assert f"exactly one transformer, called `transformer`. This one has: {', '.join(names)}." in result.error


def test_a_search_that_takes_too_long_is_cut_short_in_the_middle_of_a_run():
    pipe, clock = Pipe(), iter([0.0, 0.0, 0.0, 9.0])

    def timed(pipe):
        pipe.transformer(torch.zeros(1))
        return counted(pipe)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lesa_framework.measure.matching.time.monotonic", lambda: next(clock))
        load = SimpleNamespace(counted=timed, known={})
        result = match(FakeFamily([[50, 40, 8, 5]]), pipe, load, 10, seconds=5)
    assert [trial.work.flops_nfe for trial in result.tried] == [5, 40]
    assert result.chosen.work.flops_nfe == 5
    assert result.reached
    assert result.note == "The search was cut short after 2 runs: it does 5.00, and 10 was asked for."
    assert not pipe.transformer._forward_pre_hooks


def test_a_search_without_time_finds_nothing():
    def timed(pipe):
        pipe.transformer(torch.zeros(1))

    result = match(FakeFamily([[5]]), Pipe(), SimpleNamespace(counted=timed, known={}), 10, seconds=-1)
    assert result.chosen is None
    assert result.error.startswith("no settings were found")


def tried(result):
    return [trial.work.flops_nfe for trial in result.tried]


def test_a_search_that_begins_at_the_right_rung_is_a_single_run():
    assert tried(found([list(range(50, 0, -1))], start=10)) == [10]


@pytest.mark.parametrize("nfe", [1, 10, 37, 50, 80])
def test_from_every_rung_the_same_candidate_is_found_in_at_most_twice_as_many_runs(nfe):
    for start in range(50, 0, -1):
        result = found([list(range(50, 0, -1))], nfe, start=start)
        assert (result.chosen.work.flops_nfe, result.reached) == (min(nfe, 50), True)
        assert len(result.tried) <= 12


def test_a_rung_that_is_a_little_off_needs_its_neighbours_only():
    ladder = [[50, 40, 30, 20.5, 15.5, 9.5, 8, 7, 6, 5]]
    assert tried(found(ladder, start=8)) == [8, 9.5, 20.5, 15.5]
    assert tried(found(ladder, start=15.5)) == [15.5, 9.5]
    assert tried(found(ladder, start=20.5)) == [20.5, 15.5, 8, 9.5]


def test_a_finished_search_elsewhere_is_confirmed_by_a_single_run():
    ladder = [[50, 40, 30, 11, 8, 6]]
    assert tried(found(ladder, start=elsewhere(8, 8.05, reached=True))) == [8]


@pytest.mark.parametrize(
    "start",
    [elsewhere(8, 8.5, reached=True), elsewhere(8, reached=False), elsewhere(8, reached=True, finished=False)],
    ids=["other work", "out of reach there", "cut short there"],
)
def test_what_is_not_confirmed_is_searched_on(start):
    assert tried(found([[50, 40, 30, 9.5, 8, 6]], start=start)) == [8, 9.5, 40, 30]


def test_a_start_that_does_too_much_here_is_no_end():
    assert tried(found([[50, 12, 10.05, 7, 6]], start=elsewhere(10.05, 9.99, reached=True))) == [10.05, 7]


def test_ladders_before_the_starting_one_are_left_out():
    result = found([[50, 12], [50, 9, 8], [4]], start=9)
    assert tried(result) == [9, 50]
    assert (result.chosen.work.flops_nfe, result.note) == (9, "")


def test_a_start_whose_ladder_cannot_do_as_little_goes_on_to_the_next():
    result = found([[50, 20, 15], [50, 9, 8]], start=20)
    assert result.chosen.work.flops_nfe == 9
    assert result.note == "knob = 15 does 15.00, more than 10."


def test_a_start_that_the_ladders_do_not_have_is_ignored():
    assert tried(found([[50, 9.95, 10, 3]], start=7)) == [3, 9.95]


def test_without_time_for_one_run_the_start_is_chosen_and_the_note_says_that_it_is_not_confirmed():
    def timed(pipe):
        pipe.transformer(torch.zeros(1))

    start = elsewhere(9, 9.2)
    load = SimpleNamespace(counted=timed, known={})
    result = match(FakeFamily([[50, 9, 5]]), Pipe(), load, 10, seconds=-1, start=start)
    assert result.chosen == Trial(FakePeer("fake", 9), counting_of(9.2))
    assert (result.tried, result.reached, result.error, result.finished) == ((), True, None, False)
    assert result.note == (
        "The search was cut short before a run had ended: what it does was not confirmed, and 10 was asked for."
    )


def test_a_candidate_of_an_earlier_launch_is_found_by_its_settings():
    family = FakeFamily([[9, 7], [5]])
    assert peer_with(family, {"knob": "5"}, Pipe(), workload()) == FakePeer("fake", 5)
    with pytest.raises(PeerError, match=r"fake: no longer offers its settings .* Begin with --fresh"):
        peer_with(family, {"knob": "6"}, Pipe(), workload())
