from __future__ import annotations

from functools import partial

import pytest
import torch

import lesa_framework as lesa
from lesa_framework.backbones import find_adapter
from lesa_framework.errors import PeerError, UnsupportedBackboneError
from lesa_framework.measure.counting import Call, count, counting, total, workload_of
from lesa_framework.plugin.manager import Plugins
from lesa_framework.testing import TinyDiT, TinyPipeline
from tests.measure.workloads import STEPS, Sampling


def calls(*shares: float, blocks: int = 10) -> list[Call]:
    return [Call(round(blocks * share), round(1000 * share), round(1000 * share) + 50) for share in shares]


def test_shares_become_steps_letters_and_sums():
    work = count(calls(1, 1, 0, 0.25, 1, 0.04, 0, 0), calls(*[1] * 8), num_steps=4)
    assert work.plans == ("FPFP", "F20P")
    assert work.flops_nfe == pytest.approx(4 * 3.29 / 8)
    assert work.block_nfe == pytest.approx(4 * 32 / 80)
    assert work.full_steps == pytest.approx(3.29 / 2), (
        "a call does nothing, so what others do is steps, or parts of them"
    )
    assert work.flops == 3290 + 8 * 50


def test_runs_that_cannot_be_compared_are_refused():
    with pytest.raises(PeerError, match="called 3 times, uncached 4 times"):
        count(calls(1, 1, 1), calls(1, 1, 1, 1), num_steps=2)
    with pytest.raises(PeerError, match="3 calls of the transformer in 2 steps"):
        count(calls(1, 1, 1), calls(1, 1, 1), num_steps=2)


def test_an_uncached_run_counts_its_steps_and_is_not_changed(flux, generate):
    run = Sampling(flux, generate)
    before = run()
    load = run.workload()
    work = load.counted(flux)
    assert load.branches == 2
    assert (work.flops_nfe, work.block_nfe, work.full_steps) == (STEPS, STEPS, STEPS)
    assert work.plans == ("F" * STEPS, "F" * STEPS)
    assert [call.blocks for call in load.uncached] == [3] * 2 * STEPS
    assert all(torch.equal(latents, before) for latents in run.latents)
    assert len(run.latents) == 3


def test_a_session_counts_what_its_report_says(flux, generate):
    load = Sampling(flux, generate).workload()
    config = {
        "schedule": {"kind": "steps", "compute": [0, 3, 4]},
        "router": {"kind": "single"},
        "predictor": {"kind": "reuse"},
    }
    with lesa.accelerate(flux, config) as session:
        work = load.counted(flux)
    assert session.report.nfe == 3
    assert (work.flops_nfe, work.block_nfe, work.full_steps) == (3, 3, 3)
    assert work.plans == ("FPPFFP",) * 2
    assert 3 / STEPS * total(load.uncached).flops < work.flops < total(load.uncached).flops


def test_a_block_that_is_called_but_does_nothing_is_no_work(flux, generate, monkeypatch):
    load = Sampling(flux, generate).workload()
    block = flux.transformer.single_transformer_blocks[0]
    monkeypatch.setattr(
        block, "forward", lambda hidden_states, encoder_hidden_states, *_, **__: (encoder_hidden_states, hidden_states)
    )
    work = load.counted(flux)
    assert work.block_nfe == pytest.approx(STEPS * 2 / 3)
    assert work.full_steps == 0


def calls_of(*works):
    return [Call(10, work, work) for work in works]


@pytest.mark.parametrize(
    ("works", "steps"),
    [
        ((100, 100, 100, 100), 4),
        ((100, 0, 0, 100), 2),
        ((100, 10, 10, 100), 2),  # the first block of every call is no step
        ((100, 10, 55, 100), 2.5),  # half of the rest of a call is half a step
        ((100, 40, 10, 40), 1 + 2 / 3),
        ((60, 60, 60, 60), 0),
    ],
)
def test_whole_steps_do_not_count_what_every_call_does_and_hide_nothing_else(works, steps):
    assert count(calls_of(*works), calls_of(100, 100, 100, 100), 4).full_steps == pytest.approx(steps)


def test_nothing_stays_on_the_model(flux):
    def hooked():
        return [module for module in flux.transformer.modules() if module._forward_hooks or module._forward_pre_hooks]

    def interrupted():
        with counting(flux.transformer):
            assert len(hooked()) == 4
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert not hooked()


def test_a_family_gets_steps_branches_and_blocks(flux, generate):
    load = Sampling(flux, generate).workload()
    assert (load.num_steps, load.branches, load.blocks) == (STEPS, 2, 3)
    assert len(load.uncached) == 2 * STEPS


def test_without_guidance_there_is_one_branch(flux, generate):
    assert Sampling(flux, partial(generate, true_cfg_scale=1.0)).workload().branches == 1


def test_it_runs_once_when_it_is_made_and_once_for_each_count(flux, generate):
    run = Sampling(flux, generate)
    load = run.workload()
    assert len(run.latents) == 1
    load.counted(flux)
    assert len(run.latents) == 2
    assert torch.equal(*run.latents)


def test_steps_that_do_not_call_equally_often_are_refused(registered):
    pipe = TinyPipeline(TinyDiT())
    with pytest.raises(PeerError, match="12 calls of the transformer in 5 steps"):
        workload_of(pipe, 5, pipe)


def test_a_model_with_unknown_blocks_is_refused(monkeypatch):
    monkeypatch.setitem(find_adapter.__globals__, "plugins", Plugins)  # none, whatever other tests registered
    pipe = TinyPipeline(TinyDiT())
    with pytest.raises(UnsupportedBackboneError, match="TinyDiT"):
        workload_of(pipe, 12, pipe)
