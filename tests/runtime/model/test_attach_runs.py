"""Several pipelines, schedulers, branches, and sessions that begin or end in the middle of a run."""

from __future__ import annotations

import threading

import pytest
import torch

import lesa_framework as lesa
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing import (
    TinyScheduler,
)
from tests.runtime.sessions import both_models, cached, fresh, pipeline, strategy


def test_two_pipelines_in_one_process():
    one, two = pipeline(), pipeline(shift=3.0)
    with cached(one), cached(two, strategy((0, 1, 6))) as session:

        def other(_pipe, step, latent):
            if step == 5:
                two(3)
            return latent

        assert torch.equal(one(callback=other), fresh())
        assert session.report.plan() == "FFPPPPFPPPPP"


def test_two_pipelines_in_two_threads():
    # Made before the threads start: weights come from torch's global random state, which threads share.
    pipes, results = [pipeline() for _ in range(3)], {}

    def work(prompt: int) -> None:
        with cached(pipes[prompt]):
            results[prompt] = pipes[prompt](prompt, guidance=2.0)

    threads = [threading.Thread(target=work, args=(prompt,)) for prompt in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    for prompt, result in results.items():
        assert torch.equal(result, fresh(prompt=prompt, guidance=2.0))


def test_an_exchanged_scheduler_is_followed():
    pipe = pipeline()
    with cached(pipe) as session:
        pipe()
        pipe.scheduler = TinyScheduler(shift=3.0)
        assert torch.equal(pipe(), fresh(shift=3.0))
        assert session.report.info.sigmas[1] == pytest.approx(33 / 34)


def test_image_to_image_runs_the_end_of_the_grid():
    pipe = pipeline()
    with cached(pipe) as session:
        pipe(begin=4)
    assert [record.index for record in session.report.records] == list(range(4, 12))
    assert session.report.plan() == "FPPPFPPP"


@both_models
@pytest.mark.parametrize("renew", [False, True], ids=["same tensors", "new tensors"])
def test_branches_do_not_mix(model_class, renew):
    recorder, alone = Recorder(), Recorder()
    pipe, single = pipeline(model_class), pipeline(model_class)
    with cached(pipe, observers=[recorder]) as session:
        guided = pipe(guidance=1e-6 + 1, renew_conditions=renew)
    with cached(single, observers=[alone]):
        single()
    assert len(session.report.branches) == 2
    # The guided run is the unguided one up to rounding, if its first branch has a history to itself.
    own = [
        feature
        for feature, record in zip(recorder.features, recorder.records, strict=True)
        if record.branch in ("cond", "branch0")
    ]
    torch.testing.assert_close(own, alone.features, atol=1e-4, rtol=1e-4)
    assert guided.isfinite().all()


def test_attaching_in_the_middle_of_a_run():
    sessions: list[lesa.Session] = []

    def join(pipe, step, latent):
        if step == 4:
            sessions.append(cached(pipe))
        return latent

    pipe = pipeline()
    pipe(callback=join)
    assert [record.index for record in sessions[0].report.records] == list(range(5, 12))
    sessions[0].detach()


def test_detaching_in_the_middle_of_a_run():
    pipe = pipeline()
    session = cached(pipe)

    def leave(_pipe, step, latent):
        if step == 4:
            session.detach()
        return latent

    pipe(callback=leave)
    assert session.report.plan() == "FPPFP"


def test_an_observer_may_detach():
    pipe = pipeline()

    class Leaving(Recorder):
        def lesa_step_end(self, record, latent, feature):
            if record.index == 4:
                session.detach()

    session = cached(pipe, observers=[Leaving()])
    pipe()
    assert session.report.plan() == "FPPFP"
    assert torch.equal(pipe(), pipeline()())


@pytest.mark.parametrize("when", ["lesa_run_start", "lesa_run_end"])
def test_an_observer_may_detach_between_two_runs(when):
    pipe, leaving = pipeline(), Recorder()
    setattr(leaving, when, lambda **_: session.detach())
    session = cached(pipe, observers=[leaving])
    bare = pipeline()()
    assert torch.equal(pipe(), bare) == (
        when == "lesa_run_start"
    )  # the other one hears of the end when the next begins
    assert torch.equal(pipe(), bare)
    assert "forward" not in vars(pipe.transformer)


def test_a_model_with_a_hook_is_as_it_was_when_an_observer_has_detached():
    pipe = pipeline()
    own = vars(pipe.transformer)
    own |= {"_diffusers_hook": None, "forward": pipe.transformer.forward}
    hooked = own["forward"]

    class Leaving(Recorder):
        def lesa_step_end(self, record, latent, feature):
            session.detach()

    session = cached(pipe, observers=[Leaving()])
    pipe()
    assert own["forward"] is hooked
