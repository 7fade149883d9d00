"""A model that somebody calls with a copy of the scheduler, while the scheduler that a session knows stands still.

No pipeline's call is found on the stack here: it is compiled, or the model is called in another thread.
"""

from __future__ import annotations

import warnings

import pytest
import torch

from lesa_framework import LesaWarning, RunReport, UnsupportedBackboneError
from lesa_framework.runtime.calls.call import Call
from lesa_framework.testing import TinyContextDiT, TinyDiT, TinyPipeline, TinyScheduler
from tests.runtime.sessions import cached, pipeline, strategy

GIVEN_UP = "accelerate the pipeline that you call, or pass `sigmas=`"
#: Of eight steps, when 0, 3 and 8 are computed.
PLAN = "FPPFPPPP"


@pytest.fixture(autouse=True, params=["cpu", "gpu"])
def device(request, monkeypatch):
    """Once as on a CPU, once as if it cost something to read a timestep."""
    if request.param == "gpu":
        monkeypatch.setattr(Call, "sigma_is_free", property(lambda call: False))


class Runs:
    """The reports of all runs."""

    def __init__(self) -> None:
        self.reports: list[RunReport] = []

    def lesa_run_start(self, run) -> None:
        pass

    def lesa_step_end(self, record, latent, feature) -> None:
        pass

    def lesa_run_end(self, report) -> None:
        self.reports.append(report)


def other(pipe: TinyPipeline) -> TinyPipeline:
    """A pipeline around the same model, with a scheduler of its own."""
    return TinyPipeline(pipe.transformer, TinyScheduler(pipe.scheduler.shift))


def bare(**call) -> torch.Tensor:
    return pipeline(TinyContextDiT)(guidance=2.0, **call)


def never_set(pipe: TinyPipeline) -> None:
    pass


def finished(pipe: TinyPipeline) -> None:
    pipe(num_inference_steps=8)


def set_anew(pipe: TinyPipeline) -> None:
    pipe.scheduler.set_timesteps(8)


def begun(pipe: TinyPipeline) -> None:
    pipe.scheduler.set_timesteps(8)
    pipe.scheduler.set_begin_index(0)


def abandoned(pipe: TinyPipeline) -> None:
    def stop(_pipe, step, latent):
        if step == 3:
            raise KeyboardInterrupt
        return latent

    with pytest.raises(KeyboardInterrupt):
        pipe(num_inference_steps=8, callback=stop)


def requests(before, steps: int, *, renew=False) -> tuple[list[RunReport], list[torch.Tensor]]:
    """Three requests of another pipeline, after something has happened to the accelerated one."""
    pipe, runs, images = pipeline(TinyContextDiT), Runs(), []
    with cached(pipe, strategy((0, 3)), observers=[runs], callers=False) as session:
        before(pipe)
        session._requests.close()
        runs.reports.clear()
        images += [other(pipe)(7, steps, guidance=2.0, renew_conditions=renew) for _ in range(3)]
    return runs.reports, images


@pytest.mark.parametrize("before", [finished, set_anew, begun, abandoned])
@pytest.mark.parametrize("renew", [False, True])
def test_calls_whose_levels_are_on_the_grid_are_followed(before, renew):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reports, images = requests(before, 8, renew=renew)
    assert len(reports) == 3
    for report in reports:
        assert {branch: report.plan(branch) for branch in report.branches} == {"cond": PLAN, "uncond": PLAN}
        assert not report.fallbacks
    assert torch.equal(images[0], images[1])


@pytest.mark.parametrize("before", [never_set, finished, set_anew, begun, abandoned])
def test_calls_whose_levels_are_not_on_the_grid_are_computed_and_one_warning_says_so(before):
    with pytest.warns(LesaWarning, match=GIVEN_UP) as caught:
        reports, images = requests(before, 20)
    assert len(caught) == 1
    computed = [report for report in reports if not report.info.sigmas]
    assert len(computed) == 3
    for report in computed:
        assert set(report.branches) <= {"cond", "uncond"}
        assert report.nfe == report.num_steps
    # The first request may begin on the grid.
    assert sum(report.num_steps for report in reports) == 60
    assert [report.num_steps for report in reports[-2:]] == [20, 20]
    expected = bare(prompt=7, num_inference_steps=20)
    assert all(torch.equal(image, expected) for image in images[1:])


def test_a_scheduler_that_was_given_up_is_taken_again_when_it_runs_the_model():
    pipe, runs = pipeline(TinyContextDiT), Runs()
    with cached(pipe, strategy((0, 3)), observers=[runs], callers=False):
        with pytest.warns(LesaWarning, match=GIVEN_UP):
            other(pipe)(7, 20)
        pipe(7, 8)
    assert runs.reports[-1].plan() == PLAN


def test_a_scheduler_that_was_given_up_is_taken_again_when_it_steps():
    pipe = pipeline()
    model, scheduler, words = pipe.transformer, pipe.scheduler, torch.zeros(1, 2, 4)
    with cached(pipe, strategy((1, 4))) as session, torch.no_grad():
        scheduler.set_timesteps(8)
        model(torch.ones(1, 2, 4), torch.tensor([1.0]), words)
        model(torch.ones(1, 2, 4), torch.tensor([0.94]), words)
        with pytest.warns(LesaWarning, match=GIVEN_UP):
            model(torch.ones(1, 2, 4), torch.tensor([0.81]), words)
        for step in range(1, 8):
            scheduler.step_index = step
            model(torch.ones(1, 2, 4), scheduler.sigmas[step].expand(1), words)
        assert session.report.plan() == "FPPFPPP"
        assert [record.index for record in session.report.records] == list(range(1, 8))


def test_a_run_whose_scheduler_was_never_set_shows_no_grid():
    pipe = pipeline()
    with cached(pipe, callers=False) as session:
        with pytest.warns(LesaWarning, match=GIVEN_UP):
            other(pipe)(7, 20)
        assert session.report.info.sigmas == ()
        assert session.report.plan() == "F" * 20


def test_single_calls_beside_a_run_warn_of_nothing():
    pipe = pipeline()
    model = pipe.transformer
    with cached(pipe, callers=False), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        for _ in range(3):  # references that are read before a run, all at one level
            model(torch.ones(1, 2, 4), torch.tensor([0.001]), torch.zeros(1, 2, 4))
        pipe(7, 8)
        model(torch.ones(1, 2, 4), torch.tensor([0.001]), torch.zeros(1, 2, 4))
        pipe(7, 8)


def test_a_first_call_off_a_fresh_grid_is_refused():
    pipe = TinyPipeline(TinyDiT())
    with cached(pipe, callers=False), torch.no_grad():
        pipe.scheduler.set_timesteps(8)
        with pytest.raises(UnsupportedBackboneError, match=r"TinyScheduler: .* level 0\.93, .* says 1\. .*" + GIVEN_UP):
            pipe.transformer(torch.ones(1, 2, 4), torch.tensor([0.93]), torch.zeros(1, 2, 4))


def test_tiles_of_a_step_are_branches_as_long_as_the_scheduler_is_right():
    pipe = pipeline(TinyContextDiT)
    model, words = pipe.transformer, torch.zeros(1, 2, 4)
    with cached(pipe, strategy((0, 3)), callers=False) as session, torch.no_grad():
        pipe.scheduler.set_timesteps(8)
        latents = [torch.full((1, 2, 4), float(tile)) for tile in range(28)]
        for step in range(8):
            level = pipe.scheduler.sigmas[step].expand(1)
            with model.cache_context("cond"):
                latents = [latent + model(latent, level, words, return_dict=False)[0] for latent in latents]
            pipe.scheduler.step(torch.zeros(1), torch.zeros(1))
        report = session.report
    assert report.branches == ("cond", *(f"cond#{tile}" for tile in range(2, 29)))
    assert {report.plan(branch) for branch in report.branches} == {PLAN}
