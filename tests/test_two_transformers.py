"""Pipelines with two transformers, as Wan 2.2: the second takes over below a noise level."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lesa_framework as lesa
from lesa_framework import UnsupportedBackboneError
from lesa_framework.api import attach_strategy
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing import TinyContextDiT, TinyDiT, TinyPipeline
from tests.runtime.sessions import strategy

pytestmark = pytest.mark.usefixtures("registered")

SWITCH = 6  # of twelve steps
RAW = {"schedule": {"kind": "fixed_interval", "interval": 4}, "predictor": {"kind": "taylorseer", "order": 1}}


class TwoTransformers(TinyPipeline):
    """Switches transformers without telling the sampler, as Wan's pipeline does."""

    def __init__(self, model_class=TinyDiT):
        super().__init__(model_class(seed=0))
        self.first, self.transformer_2 = self.transformer, model_class(seed=1)

    def __call__(self, *args, **kwargs):
        def switch(pipe, step, latent):
            self.transformer = self.transformer_2 if step + 1 >= SWITCH else self.first
            return latent

        self.transformer = self.first
        try:
            return super().__call__(*args, callback=switch, **kwargs)
        finally:
            self.transformer = self.first


def state(model: nn.Module) -> dict[str, object]:
    own = {name: value for name, value in vars(model).items() if not name.startswith("_")}
    hooks = [(len(each._forward_hooks), len(each._forward_pre_hooks)) for each in model.modules()]
    return {**own, "hooks": hooks, "forward": vars(model).get("forward")}


def test_one_run_over_the_whole_grid_and_a_history_for_each():
    pipe, recorder = TwoTransformers(), Recorder()
    with lesa.accelerate(pipe, RAW, observers=[recorder]) as session:
        pipe()
    report = session.report
    assert report.branches == ("branch0", "branch0 (transformer_2)")
    assert report.plan() == "FFFPPP"
    assert report.plan("branch0 (transformer_2)") == "FPPPFP"
    assert (report.num_steps, report.nfe) == (12, 5)
    assert not report.fallbacks
    assert "besides" not in str(report), "step 6, at which the second one begins, is the schedule's"


def test_always_changes_nothing():
    bare, pipe = TwoTransformers(), TwoTransformers()
    with lesa.accelerate(pipe, {**RAW, "schedule": {"kind": "always"}}):
        assert torch.equal(pipe(guidance=2.0), bare(guidance=2.0))


@pytest.mark.parametrize(
    ("model_class", "names"), [(TinyDiT, ("branch0", "branch1")), (TinyContextDiT, ("cond", "uncond"))]
)
def test_branches_are_counted_for_each_transformer(model_class, names):
    pipe, seen = TwoTransformers(model_class), set()
    choice = strategy()
    choice.schedule.decide = lambda ctx, decide=choice.schedule.decide: (
        seen.add((ctx.branch, ctx.branch_index)) or decide(ctx)
    )
    with attach_strategy(pipe, choice) as session:
        pipe(guidance=2.0)
    second = tuple(f"{name} (transformer_2)" for name in names)
    assert session.report.branches == (*names, *second)
    assert seen == {(names[0], 0), (names[1], 1), (second[0], 0), (second[1], 1)}


def test_nothing_crosses_the_switch():
    pipe, features = TwoTransformers(), {}

    class Watch(Recorder):
        def lesa_step_end(self, record, latent, feature):
            features[record.index] = feature.clone()

    config = {**RAW, "schedule": {"kind": "steps", "compute": [0, 1]}}
    with lesa.accelerate(pipe, config, observers=[Watch()]) as session:
        pipe()
    # Nobody asked for step 6, but the second transformer's history was empty, and one feature makes no slope.
    assert session.report.plan("branch0 (transformer_2)") == "FPPPPP"
    assert not torch.equal(features[5], features[1])
    assert torch.equal(features[7], features[6])
    besides = "  computed besides the schedule: 1 of 12 steps, where a branch begins late, or missed a computed step"
    assert besides in str(session.report).splitlines()


def test_two_runs_are_equal_and_each_is_one():
    pipe = TwoTransformers()
    with lesa.accelerate(pipe, RAW) as session:
        first = pipe(guidance=2.0)
        report = session.report
        assert torch.equal(pipe(guidance=2.0), first)
    assert session.report.records == report.records


def test_detach_leaves_no_trace_in_either():
    pipe = TwoTransformers()
    before = [state(pipe.first), state(pipe.transformer_2)]
    with lesa.accelerate(pipe, RAW):
        assert [state(pipe.first), state(pipe.transformer_2)] != before
        pipe()
    assert [state(pipe.first), state(pipe.transformer_2)] == before
    assert torch.equal(pipe(), TwoTransformers()())


def test_an_exception_in_the_second_leaves_the_next_run_as_new():
    pipe = TwoTransformers()
    with lesa.accelerate(pipe, RAW) as session:
        expected = pipe()
        handle = pipe.transformer_2.proj_out.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pipe()
        handle.remove()
        assert torch.equal(pipe(), expected)
    assert session.report.num_steps == 12


@pytest.mark.parametrize("present", ["transformer", "transformer_2"])
def test_one_of_them_may_be_missing(present):
    pipe = TwoTransformers()
    other = {"transformer": "transformer_2", "transformer_2": "transformer"}[present]
    setattr(pipe, other, None)
    with lesa.accelerate(pipe, RAW):
        assert "forward" in vars(getattr(pipe, present))
    assert "forward" not in vars(getattr(pipe, present))


def test_when_the_second_cannot_be_attached_the_first_is_released():
    pipe = TwoTransformers()
    before = state(pipe.first)
    with lesa.accelerate(pipe.transformer_2, RAW, sigmas=[1.0, 0.0]):
        with pytest.raises(UnsupportedBackboneError, match="a session is attached already"):
            lesa.accelerate(pipe, RAW)
        assert state(pipe.first) == before
    pipe.transformer_2 = nn.Linear(1, 1)
    with pytest.raises(UnsupportedBackboneError, match="Linear"):
        lesa.accelerate(pipe, RAW)
    assert state(pipe.first) == before


def test_the_same_transformer_in_both_places_is_attached_once():
    pipe = TwoTransformers()
    pipe.transformer_2 = pipe.first
    with lesa.accelerate(pipe, RAW) as session:
        pipe()
    assert session.report.plan() == "FFFPPPFPPPFP"


def test_an_exchanged_one_is_told_of_when_the_other_one_is_called_next():
    pipe = TwoTransformers()
    with lesa.accelerate(pipe, RAW) as session:
        pipe.transformer_2 = TinyDiT()
        with pytest.warns(lesa.LesaWarning, match="the pipeline's transformer_2 was exchanged") as warned:
            pipe()
        pipe()  # a second warning would be an error
        assert [one.filename for one in warned] == [__file__]
        assert "exchanged: the pipeline's transformer_2;" in str(session.report)


def test_one_in_the_place_of_the_other_is_not_exchanged_because_its_calls_are_seen():
    pipe = TwoTransformers()
    with lesa.accelerate(pipe, RAW) as session:
        pipe.first = pipe.transformer_2
        pipe()
        pipe.transformer = pipe.transformer_2
        assert session.report.branches == ("branch0 (transformer_2)",)
        assert session.report.exchanged == ""
