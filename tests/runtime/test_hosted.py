"""A host tells the run, the step and the branches of each call; guidance may come as one batch."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import AffinePredictor, Decision, Filter, HostCall, Reason, Reuse, Strategy, Tap
from lesa_framework.testing import TinyDiT, even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages

STEPS = 6
COMPUTED = (0, 3)
PROMPTS = {"cond": 0.5, "uncond": -0.5}


class Told:
    """What a host knows of the call that it makes next."""

    def __init__(self) -> None:
        self.call = HostCall("run", even_grid(STEPS), 0)

    def __call__(self, arguments):
        assert "hidden_states" in arguments
        return self.call


class OtherBranch(AffinePredictor):
    """Adds a part of what the other branch holds, if it holds anything."""

    depth = 2

    def filter(self, entries, ctx):
        others = dict.fromkeys(ctx.others, (0.25,))
        return Filter((1.0 - 0.25 * len(others),), others=others)


class Correcting(OtherBranch):
    """Mixes what a computed step made with what the other branch holds."""

    def correction(self, entries, ctx):
        return Filter((0.75,), others=dict.fromkeys(ctx.others, (0.25,))) if ctx.others else None


class NotFinite(OtherBranch):
    """Fails for one branch at one step."""

    def filter(self, entries, ctx):
        return Filter((float("nan"),)) if (ctx.index, ctx.branch) == (2, "uncond") else super().filter(entries, ctx)


@pytest.fixture
def model():
    return TinyDiT()


@pytest.fixture
def told(registered):
    return Told()


def strategy(computed=COMPUTED, predictor=None):
    return Strategy(ComputeSteps(computed), EqualStages(), predictor or Reuse())


def accelerated(model, told, chosen=None, tap=Tap.PRE_HEAD):
    return lesa.attach_strategy(model, chosen or strategy(), tap=tap, host=told)


def prompt(branch, batch):
    return torch.full((batch, 2, 4), PROMPTS[branch])


def noise(batch=1, seed=0):
    return torch.randn((batch, 3, 4), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def run(
    model, told, *, branches=("uncond", "cond"), sequence=("cond", "uncond"), batch=1, together=True, seed=0, name="run"
):
    """Guided Euler steps; the branches come in one batch, or in calls of their own."""
    sigmas, latent = even_grid(STEPS), noise(batch)
    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        if together:
            told.call = HostCall("run", sigmas, index, branches, sequence)
            both = torch.cat([latent] * len(branches))
            prompts = torch.cat([prompt(branch, batch) for branch in branches])
            found = dict(zip(branches, model(both, sigma, prompts).sample.chunk(len(branches)), strict=True))
        else:
            found = {}
            for branch in sequence:
                told.call = HostCall("run", sigmas, index, (branch,))
                found[branch] = model(latent, sigma, prompt(branch, batch)).sample
        latent = latent + (following - sigma) * (found["uncond"] + 3 * (found["cond"] - found["uncond"]))
    return latent


@pytest.mark.parametrize("tap", list(Tap))
@pytest.mark.parametrize("batch", [1, 4])
def test_when_every_step_is_computed_nothing_changes(model, told, tap, batch):
    plain = run(model, told, batch=batch)
    with accelerated(model, told, strategy(range(STEPS)), tap):
        assert torch.equal(run(model, told, batch=batch), plain)


@pytest.mark.parametrize("tap", list(Tap))
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("predictor", [Reuse(), OtherBranch(), Correcting()], ids=["own", "other", "correcting"])
def test_branches_in_one_batch_are_worked_on_as_in_calls_of_their_own(model, told, tap, batch, predictor):
    chosen = strategy(predictor=predictor)
    with accelerated(model, told, chosen, tap) as session:
        apart = run(model, told, batch=batch, together=False)
        records = session.report.records
        session.end_run("run")
        torch.testing.assert_close(run(model, told, batch=batch), apart)
        assert sorted(session.report.records, key=lambda r: (r.index, r.branch)) == list(records)
        assert session.report.branches == ("cond", "uncond")
        assert session.report.plan("uncond") == "FPPFPP"


def test_branches_are_numbered_by_their_sequence(model, told):
    seen = []

    class Numbered(Reuse):
        def filter(self, entries, ctx):
            seen.append((ctx.branch, ctx.branch_index))
            return super().filter(entries, ctx)

    sigmas = even_grid(STEPS)
    with accelerated(model, told, strategy(predictor=Numbered())), torch.no_grad():
        for index in (0, 1):
            for branch in ("other", "uncond", "cond"):
                told.call = HostCall("run", sigmas, index, (branch,), ("cond", "uncond"))
                model(noise(), sigmas[index], prompt("cond", 1))
    assert seen == [("other", 2), ("uncond", 1), ("cond", 0)]


def test_each_branch_has_its_own_history(model, told):
    with accelerated(model, told):
        mixed = run(model, told, branches=("uncond", "cond"), sequence=())
    with accelerated(model, told):
        torch.testing.assert_close(run(model, told, branches=("cond", "uncond"), sequence=()), mixed)


def test_where_one_branch_is_computed_its_whole_batch_is(model, told):
    sigmas, latent = even_grid(STEPS), noise()
    with accelerated(model, told) as session, torch.no_grad():
        for index, branches in enumerate([("cond",), ("cond", "late"), ("cond", "late")]):
            told.call = HostCall("run", sigmas, index, branches)
            model(torch.cat([latent] * len(branches)), sigmas[index])
        found = [(record.branch, record.decision, record.reason) for record in session.report.records]
    assert found == [
        ("cond", Decision.COMPUTE, Reason.SCHEDULE),
        ("cond", Decision.COMPUTE, Reason.BATCH),
        ("late", Decision.COMPUTE, Reason.HISTORY),
        ("cond", Decision.PREDICT, Reason.PREDICTED),
        ("late", Decision.PREDICT, Reason.PREDICTED),
    ]


def test_a_prediction_that_is_refused_computes_the_batch_and_keeps_what_is_predicted_already(model, told):
    chosen = Strategy(ComputeSteps(COMPUTED), EqualStages(), NotFinite(), check_finite="strict")
    with accelerated(model, told, chosen) as session:
        apart = run(model, told, together=False)
        session.end_run("run")
        torch.testing.assert_close(run(model, told), apart)
        found = {record.branch: record for record in session.report.records if record.index == 2}
    assert found["cond"].decision is Decision.PREDICT
    assert (found["uncond"].decision, found["uncond"].reason) == (Decision.COMPUTE, Reason.NON_FINITE)


def test_runs_that_take_turns_are_as_each_alone(model, told):
    def steps(name, seed):
        sigmas, latent = even_grid(STEPS), noise(seed=seed)
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            told.call = HostCall(name, sigmas, index)
            latent = latent + (following - sigma) * model(latent, sigma).sample
            yield latent

    with accelerated(model, told) as session, torch.no_grad():
        alone = [list(steps(f"alone {seed}", seed))[-1] for seed in (1, 2)]
        taking_turns = list(zip(steps("first", 1), steps("second", 2), strict=True))[-1]
        for name in ("first", "second"):
            session.end_run(name)
    assert all(torch.equal(one, other) for one, other in zip(alone, taking_turns, strict=True))


def test_other_noise_levels_begin_a_new_run(model, told):
    with accelerated(model, told) as session, torch.no_grad():
        for steps in (STEPS, 4):
            for index, sigma in enumerate(even_grid(steps)[:-1]):
                told.call = HostCall("run", even_grid(steps), index)
                model(noise(), sigma)
        assert session.report.plan() == "FPPF"
        assert session.report.info.sigmas == even_grid(4)


def test_a_call_that_is_not_on_the_grid_is_computed_and_leaves_no_trace(model, told):
    with accelerated(model, told) as session, torch.no_grad():
        plain = run(model, told, branches=("uncond", "cond"))
        session.end_run("run")
        sigmas, latent = even_grid(STEPS), noise()
        told.call = HostCall("run", sigmas, None)
        between = model(latent, 0.95).sample
        assert torch.equal(run(model, told), plain)
        assert session.report.fallbacks == {Reason.UNKNOWN_STEP: 1}
    with torch.no_grad():
        assert torch.equal(model(latent, 0.95).sample, between)


def test_without_noise_levels_every_step_is_computed(model, told):
    told.call = HostCall("run", (), 0)
    with accelerated(model, told) as session, torch.no_grad():
        for _ in range(3):
            model(noise(), 0.5)
        assert [record.decision for record in session.report.records] == [Decision.COMPUTE] * 3


def test_a_branch_that_comes_twice_in_a_step_is_two(model, told):
    sigmas = even_grid(STEPS)
    with accelerated(model, told) as session, torch.no_grad():
        for index in range(3):
            for _ in range(2):
                told.call = HostCall("run", sigmas, index)
                model(noise(seed=index), sigmas[index])
        assert session.report.branches == ("cond", "cond#2")
        assert session.report.plan("cond#2") == "FPP"


def test_a_sampler_that_looks_ahead_and_comes_back_is_computed_there(model, told):
    sigmas, found = even_grid(STEPS), []
    with accelerated(model, told) as session, torch.no_grad():
        for index in (0, 1, 2, 1, 2, 3):
            told.call = HostCall("run", sigmas, index)
            model(noise(seed=index), sigmas[index])
        found = [(record.index, record.decision) for record in session.report.records]
    compute, predict = Decision.COMPUTE, Decision.PREDICT
    assert found == [(0, compute), (1, predict), (2, predict), (-1, compute), (-1, compute), (3, compute)]


def test_the_end_of_a_run_frees_its_histories_and_keeps_its_report(model, told):
    held = []

    class Keeping(Reuse):
        def filter(self, entries, ctx):
            held.append(weakref.ref(ctx.latent))
            return super().filter(entries, ctx)

    with accelerated(model, told, strategy(predictor=Keeping())) as session:
        run(model, told)
        assert session.report.cache_bytes > 0
        session.end_run("run")
        gc.collect()
        assert session.report.plan() == "FPPFPP"
        assert held
        assert all(ref() is None for ref in held)
        session.end_run("run")  # it is not open any more


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (HostCall("run", even_grid(STEPS), 6), "step 6 is not on the grid, which has steps 0 to 5"),
        (HostCall("run", even_grid(STEPS), 0, ()), "named no branch"),
        (HostCall("run", even_grid(STEPS), 0, ("a", "b")), "cannot be split"),
    ],
    ids=["step", "no branch", "batch"],
)
def test_a_host_that_tells_what_cannot_be_gets_a_clear_message(model, told, call, words):
    told.call = call
    with accelerated(model, told), pytest.raises(lesa.PluginContractError, match=words):
        model(noise(), 1.0)


def test_noise_levels_that_are_none_get_a_clear_message(model, told):
    told.call = HostCall("run", (14.6, 3.0, 0.0), 0)
    with accelerated(model, told), pytest.raises(lesa.ConfigError, match="noise levels fall strictly"):
        model(noise(), 1.0)


def test_a_grid_and_a_host_are_one_too_many(model, told):
    with pytest.raises(lesa.ConfigError, match="got sigmas and a host"):
        lesa.attach_strategy(model, strategy(), sigmas=even_grid(STEPS), host=told)


def test_a_session_without_a_host_has_no_runs_to_end(model, registered):
    session = lesa.attach_strategy(model, strategy(), sigmas=even_grid(STEPS))
    with session, pytest.raises(lesa.LesaError, match="no host"):
        session.end_run("run")
