"""Every peer on a real, tiny `FluxPipeline`."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import nn

from lesa_framework.errors import PeerError
from lesa_framework.measure.matching import Measure, match
from lesa_framework.measure.told import Told
from lesa_framework.testing.tiny_dit import TinyDiT
from lesa_peers.hicache_plus_plus import HiCacheTold
from lesa_peers.plugin import FAMILIES as ALL
from lesa_peers.plugin import TOLD_FAMILIES
from tests.measure.workloads import STEPS, Sampling

#: What the told ones are told: steps without a rhythm, so that no other rule computes the same.
TOLD = (0, 1, 4)
FAMILIES = {family.name: family for family in (*ALL, *(Told(family, TOLD) for family in TOLD_FAMILIES))}
_CACHE_DIT = [name for name in FAMILIES if name.startswith("cache_dit")]
_HICACHE = [name for name in FAMILIES if name.startswith("hicache_pp")]
_DIFFUSERS = [name for name in FAMILIES if name.startswith("diffusers")]


def laziest(name: str, pipe: Any, load: Any) -> Any:
    """The candidate that does the least."""
    return FAMILIES[name].ladders(pipe, load)[-1][-1]


def traces(pipe: Any) -> list[dict[str, Any]]:
    """Everything that a peer may leave on the pipeline's class and on modules."""
    modules = list(pipe.transformer.modules())
    held = ("_forward_hooks", "_forward_pre_hooks", "_modules", "_parameters")
    return [
        dict(vars(type(pipe))),
        *(dict(vars(module)) for module in modules),
        *({name: list(vars(module)[name]) for name in held} for module in modules),
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_peer_saves_work_and_leaves_the_pipeline_as_it_was(name, flux, generate):
    run = Sampling(flux, generate)
    load = run.workload()
    peer = laziest(name, flux, load)
    trace, before = traces(flux), run.latents[0]
    with peer.attach(flux):
        work = load.counted(flux)
        first = run.latents[-1]
        assert torch.equal(run(), first), "what is kept of one run reached the next, or counting changed it"
    assert work.flops_nfe < STEPS
    assert not torch.equal(first, before)
    assert traces(flux) == trace
    assert torch.equal(run(), before)
    with peer.attach(flux):
        assert torch.equal(run(), first), "the second attachment is not as the first"


@pytest.mark.parametrize("name", ["diffusers_taylorseer_lite", "diffusers_first_block_cache", *_CACHE_DIT[:2]])
def test_a_failed_run_leaves_no_trace(name, flux, generate):
    run = Sampling(flux, generate)
    peer = laziest(name, flux, run.workload())
    trace = traces(flux)

    def interrupt(pipe, index, timestep, state):
        if index == 4:
            raise KeyboardInterrupt
        return state

    with pytest.raises(KeyboardInterrupt), peer.attach(flux):
        generate(flux, num_inference_steps=STEPS, callback_on_step_end=interrupt)
    assert traces(flux) == trace
    assert torch.equal(run(), run.latents[0])


def test_lite_taylorseer_is_matched_exactly_and_its_plan_shows_the_steps(flux, generate):
    found = match(FAMILIES["diffusers_taylorseer_lite"], flux, Sampling(flux, generate).workload(), 5)
    assert found.reached
    assert (found.chosen.work.flops_nfe, found.chosen.work.block_nfe) == (4, 4)
    assert found.chosen.peer.settings == {"cache_interval": 6}
    assert found.chosen.work.plans == ("FFFPFP",) * 2


def test_default_taylorseer_calls_every_block_and_cannot_do_little(flux, generate):
    found = match(FAMILIES["diffusers_taylorseer"], flux, Sampling(flux, generate).workload(), 4)
    work = found.chosen.work
    assert work.block_nfe == STEPS
    assert 4 < work.flops_nfe < STEPS
    assert work.plans == ("FFF6F6",) * 2
    assert not found.reached
    assert "Cannot do as little as 4" in found.note


@pytest.mark.parametrize("name", ["diffusers_first_block_cache", "cache_dit_dbcache"])
def test_a_first_block_is_work_that_every_step_pays_for(name, flux, generate):
    load = Sampling(flux, generate).workload()
    with laziest(name, flux, load).attach(flux):
        work = load.counted(flux)
    assert work.plans == ("F33333",) * 2, "the first of three blocks is a third of a call"
    assert work.block_nfe == pytest.approx(1 + 5 / 3)
    assert work.full_steps == 1


@pytest.mark.parametrize("family", TOLD_FAMILIES, ids=lambda family: family.name)
def test_a_told_peer_computes_the_steps_that_it_is_told(family, flux, generate):
    load = Sampling(flux, generate).workload()
    found = match(Told(family, TOLD), flux, load, 3, Measure.STEPS)
    assert found.reached, found.error or found.note
    assert found.note == ""
    assert found.chosen.work.full_steps == 3
    for plan in found.chosen.work.plans:
        assert tuple(step for step, letter in enumerate(plan) if letter == "F") == TOLD


def test_hicache_computes_its_first_steps_and_then_every_nth(flux, generate):
    load = Sampling(flux, generate).workload()
    first, second = FAMILIES["hicache_pp_hermite"].ladders(flux, load)
    plans = []
    for peer in (first[0], second[1]):
        with peer.attach(flux):
            plans += load.counted(flux).plans
    assert plans == ["FFFFPF"] * 2 + ["FFPPFP"] * 2


class Growing(nn.Module):
    """Its output doubles with every call: a feature that exponentials know exactly, and a line does not."""

    def __init__(self):
        super().__init__()
        self.called = []

    def forward(self, states, return_dict=True):
        self.called.append(return_dict)
        made = states * 2.0 ** len(self.called)
        return Transformer2DModelOutput(sample=made) if return_dict else (made,)


@pytest.mark.parametrize(("backend", "expected"), [("dmd", 32.0), ("hermite", 16.0 + 8 / 2)])
def test_hicache_forecasts_each_sample_by_itself_and_answers_as_it_is_asked(backend, expected):
    first, second = torch.randn(2, 40, generator=torch.Generator().manual_seed(0))
    states = torch.stack([first, 100 * second])
    for asked in ({"return_dict": False}, {}):
        pipe = SimpleNamespace(transformer=Growing())
        peer = HiCacheTold(backend).at((0, 1, 2, 3), pipe, SimpleNamespace(num_steps=6, branches=1))
        with peer.attach(pipe):
            made = [pipe.transformer(states, **asked)[0] for _ in range(5)]
        assert len(pipe.transformer.called) == 4
        torch.testing.assert_close(made[4], states * expected, rtol=1e-4, atol=1e-4)


def test_a_calibrator_changes_what_the_other_steps_get(flux, generate):
    run = Sampling(flux, generate)
    load = run.workload()
    pictures = []
    for family in TOLD_FAMILIES[:3]:
        with family.at((0, 2, 3, 4), flux, load).attach(flux):
            pictures.append(run())
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[1], pictures[2])


@pytest.mark.parametrize("name", _CACHE_DIT)
def test_cache_dit_works_on_a_bare_transformer_as_on_its_pipeline(name, flux, generate):
    run = Sampling(flux, generate)
    peer = laziest(name, flux, run.workload())
    with peer.attach(flux):
        expected = run()
    with peer.attach(SimpleNamespace(transformer=flux.transformer)):
        assert torch.equal(run(), expected)


def test_cache_dit_keeps_guidance_apart_where_there_is_a_second_call(flux, generate):
    family = FAMILIES["cache_dit_dbcache"]
    one = Sampling(flux, partial(generate, true_cfg_scale=1.0)).workload()
    assert (family.ladders(flux, one)[0][0].branches, one.branches) == (1, 1)
    with family.ladders(flux, one)[-1][-1].attach(flux):
        assert len(one.counted(flux).plans) == 1


def test_magcache_is_calibrated_on_the_model_itself(flux, generate, capsys):
    first = FAMILIES["diffusers_magcache"].ladders(flux, Sampling(flux, generate).workload())[0][0]
    ratios = first.config().mag_ratios
    assert len(ratios) == STEPS
    assert ratios[0] == 1
    assert all(0.2 < ratio < 5 for ratio in ratios)
    assert capsys.readouterr().out == ""


def test_cache_dit_does_not_write_to_standard_output(flux, generate, capfd):
    with laziest("cache_dit_dbcache", flux, Sampling(flux, generate).workload()).attach(flux):
        Sampling(flux, generate)()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", [*_CACHE_DIT, *_DIFFUSERS])
def test_a_model_without_the_peer_is_a_row_with_the_reason(name):
    pipe = SimpleNamespace(transformer=TinyDiT())
    found = match(FAMILIES[name], pipe, None, 4)
    assert found.chosen is None
    assert "TinyDiT" in found.error


def test_attaching_where_it_was_refused_is_an_error():
    pipe = SimpleNamespace(transformer=TinyDiT())
    peer = FAMILIES["diffusers_first_block_cache"].ladders(pipe, None)[0][0]
    with pytest.raises(PeerError, match="no `enable_cache`"), peer.attach(pipe):
        pass


@pytest.mark.parametrize("name", _CACHE_DIT)
def test_without_cache_dit_its_peers_say_so_by_name(name, flux, monkeypatch):
    monkeypatch.setitem(sys.modules, "cache_dit", None)
    found = match(FAMILIES[name], flux, None, 4)
    assert found.error.startswith("cache-dit is not installed")
    assert 'pip install "lesa-framework[bench]"' in found.error


@pytest.mark.parametrize("name", _HICACHE)
def test_without_hicache_its_peers_say_so_by_name(name, flux, generate, monkeypatch):
    peer = laziest(name, flux, Sampling(flux, generate).workload())
    monkeypatch.setitem(sys.modules, "hicache_pp", None)
    assert FAMILIES[name].refusal(flux).startswith("hicache-pp is not installed")
    with pytest.raises(PeerError, match="hicache-pp is not installed"), peer.attach(flux):
        pass


@pytest.mark.parametrize("name", _DIFFUSERS)
def test_without_diffusers_its_peers_say_so_by_name(name, flux, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert FAMILIES[name].refusal(flux).startswith("diffusers is not installed")


def test_a_context_that_a_pipeline_does_not_set_is_a_row_with_diffusers_words(flux, generate, monkeypatch):
    load = Sampling(flux, generate).workload()
    monkeypatch.setattr(type(flux.transformer), "cache_context", lambda self, name: torch.no_grad())
    found = match(FAMILIES["diffusers_first_block_cache"], flux, load, 4)
    assert found.chosen is None
    assert "No cache context is set" in found.error
