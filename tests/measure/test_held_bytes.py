from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache, partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import lesa_framework as lesa
from lesa_framework.measure.meter import held_bytes
from lesa_framework.plugin.manager import plugins
from tests.measure.workloads import Sampling

WIDTH = 6
FEATURE = WIDTH * 4  # bytes of a float32 feature
STEPS = 3


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, latent, prompt):
        return (self.proj(latent + prompt),)


class Pipe:
    """Holds on to what pipelines hold on to: prompt, latents, the last output, what a callback was given."""

    def __init__(self):
        self.transformer = Toy()
        self.kept_by_callback = []

    def __call__(self):
        generator = torch.Generator().manual_seed(0)
        prompt, latent = torch.ones(WIDTH), torch.randn(WIDTH, generator=generator)
        for _ in range(STEPS):
            velocity = self.transformer(latent, prompt)[0]
            latent = latent - velocity / STEPS
            self.kept_by_callback.append(velocity)
        return latent


@pytest.fixture
def pipe():
    return Pipe()


def keeping(pipe, keep):
    """Attaches `keep`: it is called with what goes into and comes out of every call, and may return something else."""

    @contextmanager
    def attach():
        handle = pipe.transformer.register_forward_hook(lambda _, inputs, outputs: keep(inputs, outputs))
        try:
            yield
        finally:
            handle.remove()

    return attach


def test_a_bare_model_keeps_nothing_whatever_the_pipeline_keeps(pipe):
    assert held_bytes(pipe, pipe) == 0
    assert len(pipe.kept_by_callback) == STEPS


def test_samples_are_as_without(pipe):
    assert torch.equal(Pipe.__call__(pipe), pipe())
    seen = []
    held_bytes(pipe, lambda: seen.append(pipe()))
    assert torch.equal(seen[0], pipe())
    assert not pipe.transformer._forward_hooks
    assert not pipe.transformer._forward_pre_hooks


def test_an_output_that_is_kept_counts_though_the_pipeline_holds_it_too(pipe):
    kept = {}
    attach = keeping(pipe, lambda _, outputs: kept.update(newest=outputs[0]))
    assert held_bytes(pipe, pipe, attach) == FEATURE


def test_an_output_that_is_put_back_is_not_counted_twice(pipe):
    kept = []

    def first_again(_, outputs):
        kept.append(outputs[0]) if not kept else None
        return (kept[0],)

    assert held_bytes(pipe, pipe, keeping(pipe, first_again)) == FEATURE


def test_everything_that_piles_up_is_counted_at_its_most(pipe):
    kept = []

    def pile_up(_, outputs):
        kept.append(outputs[0])
        if len(kept) == STEPS:
            kept.clear()

    assert held_bytes(pipe, pipe, keeping(pipe, pile_up)) == (STEPS - 1) * FEATURE


def test_a_view_keeps_its_storage_and_a_second_reference_costs_nothing(pipe):
    kept = {}

    def keep(_, outputs):
        pair = torch.cat([outputs[0], outputs[0]])
        kept.update(view=pair[:1], other=pair.view(2, WIDTH))

    assert held_bytes(pipe, pipe, keeping(pipe, keep)) == 2 * FEATURE


def test_what_was_there_before_costs_nothing(pipe):
    kept = []
    keep = keeping(
        pipe, lambda inputs, _: kept.append((inputs[1], inputs[1].view(2, 3), pipe.transformer.proj.weight.t()))
    )
    assert held_bytes(pipe, pipe, keep) == 0


def test_memory_that_is_made_while_attaching_counts_and_is_written_to_for_nothing(pipe):
    @contextmanager
    def ring():
        slots = torch.zeros(3, WIDTH, dtype=torch.float64)

        def write(_, outputs):
            slots[1].copy_(outputs[0])

        with keeping(pipe, write)():
            yield

    assert held_bytes(pipe, pipe, ring) == 3 * 2 * FEATURE


def test_garbage_in_cycles_is_not_kept(pipe):
    def litter(_, outputs):
        cycle = [outputs[0].clone()]
        cycle.append(cycle)

    assert held_bytes(pipe, pipe, keeping(pipe, litter)) == 0


def test_gradients_are_off_so_no_graph_keeps_activations(pipe):
    kept = {}
    attach = keeping(pipe, lambda _, outputs: kept.update(newest=torch.sin(torch.sin(outputs[0]))))
    assert held_bytes(pipe, pipe, attach) == FEATURE
    assert kept["newest"].grad_fn is None


def test_what_a_model_makes_once_is_gone_after_a_first_run(pipe):
    table = lru_cache(lambda: torch.arange(WIDTH))

    def look(*_):
        table()

    attach = keeping(pipe, look)
    assert held_bytes(pipe, pipe, attach) == WIDTH * 8
    assert held_bytes(pipe, pipe, attach) == 0


def test_weights_that_move_inside_a_call_are_no_cache_and_what_is_put_beside_them_is(pipe):
    pipe.text_encoder = nn.Linear(WIDTH, WIDTH)
    pipe.transformer.register_buffer("table", torch.ones(WIDTH))

    def move(*_):
        for model in (pipe.transformer, pipe.text_encoder):  # one comes and the other goes, as in accelerate's hooks
            for weight in model.parameters():
                weight.data = weight.data.clone()
        pipe.transformer.table = pipe.transformer.table.clone()

    pipe.transformer.proj.register_forward_pre_hook(move)
    assert held_bytes(pipe, pipe) == 0
    attach = keeping(pipe, lambda _, outputs: pipe.transformer.register_buffer("newest", outputs[0]))
    assert held_bytes(pipe, pipe, attach) == FEATURE


def test_both_transformers_of_a_pipeline_count(pipe):
    both = SimpleNamespace(transformer=pipe.transformer, transformer_2=Toy())
    kept = {}

    def run():
        for model in (both.transformer, both.transformer_2):
            model(torch.ones(WIDTH), torch.ones(WIDTH))

    @contextmanager
    def attach():
        for model in (both.transformer, both.transformer_2):
            model.register_forward_hook(lambda model, _, outputs: kept.update({model: outputs[0]}))
        yield

    assert held_bytes(both, run, attach) == 2 * FEATURE


def test_a_run_that_fails_leaves_no_hook(pipe):
    def fail():
        pipe()
        raise KeyError

    with pytest.raises(KeyError):
        held_bytes(pipe, fail)
    assert not pipe.transformer._forward_hooks
    assert not pipe.transformer._forward_pre_hooks
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("tap", ["pre_head", "post_norm", "output"])
@pytest.mark.parametrize("predictor", [{"kind": "reuse"}, {"kind": "taylorseer", "order": 2}])
def test_a_session_keeps_what_its_report_says_to_the_byte(tap, predictor, flux, generate):
    run = Sampling(flux, generate)
    run()
    config = {
        "schedule": {"kind": "fixed_interval", "interval": 3},
        "router": {"kind": "single"},
        "predictor": predictor,
        "backbone": {"tap": tap},
    }
    sessions = []

    @contextmanager
    def attach():
        with lesa.accelerate(flux, config) as session:
            sessions.append(session)
            yield

    kept = held_bytes(flux, run, attach)
    assert kept == sessions[0].report.cache_bytes > 0


#: Bytes of a float32 hidden state of the tiny pipeline's 4 image tokens, of its 8 text tokens, and of an output.
IMAGE, TEXT, OUTPUT = 4 * 16 * 4, 8 * 16 * 4, 4 * 32 * 4
BRANCHES, FACTORS = 2, 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("diffusers_taylorseer_lite", BRANCHES * FACTORS * OUTPUT),
        ("diffusers_taylorseer", BRANCHES * FACTORS * 3 * (IMAGE + TEXT)),  # the attention of three blocks
        ("cache_dit_dbcache", BRANCHES * (IMAGE + IMAGE + TEXT)),  # the first block's residual, and the others'
    ],
)
def test_a_peer_keeps_what_its_code_says(name, expected, flux, generate):
    run = Sampling(flux, generate)
    load = run.workload()
    peer = plugins().registry.peers.get(name).ladders(flux, load)[-1][-1]
    assert held_bytes(flux, run, partial(peer.attach, flux)) == expected
    assert held_bytes(flux, run) == 0
