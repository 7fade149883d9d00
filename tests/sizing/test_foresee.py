"""A plan is what the report of a run says afterwards, and costs none of the run."""

from __future__ import annotations

import shutil

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch.nn.functional import scaled_dot_product_attention

import lesa_framework as lesa
from lesa_framework import ConfigError, Reuse, Strategy, UnsupportedBackboneError
from lesa_framework.api import plan_run
from lesa_framework.cli.foreseen import Model, work_of_calls
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.measure.meter import peak_memory
from lesa_framework.pipelines import find_model, load_outline
from lesa_framework.sizing.meter import Meter
from lesa_framework.sizing.twins import AttentionWithoutNumbers
from lesa_framework.testing import TinyDiT, TinyPipeline
from lesa_framework.testing.tiny_pipeline import noise
from lesa_framework.types import Tap
from lesa_rivals.teacache import TeaCache
from lesa_routers.routers import Thresholds
from tests.fixtures_flux import new_transformer
from tests.pipelines.parts import run
from tests.pipelines.videos import PROMPTS, SIZE, new_wan

SMALL = {"height": 16, "width": 16, "call": {"max_sequence_length": 8}}
TWO = {"true_cfg_scale": 3.0, "negative_prompt": ""}


def config(tap: str = "pre_head", **changes: object) -> dict[str, object]:
    return {
        "schedule": {"kind": "fixed_interval", "interval": 4, "warmup": 3},
        "predictor": {"kind": "taylorseer", "order": 2},
        "backbone": {"tap": tap},
        **changes,
    }


@pytest.mark.parametrize("tap", ["pre_head", "post_norm", "output"])
@pytest.mark.parametrize("history", [{}, {"dtype": "bfloat16"}])
def test_the_plan_is_what_the_report_says_afterwards(make_flux, tap, history):
    pipe = make_flux()
    with lesa.accelerate(pipe, config(tap, engine={"history": history})) as session:
        plan = session.plan(12, height=16, width=24, batch=2, call={"max_sequence_length": 8, **TWO})
        pipe(
            prompt=["a", "b"], num_inference_steps=12, height=16, width=24, max_sequence_length=8,
            true_cfg_scale=3.0, negative_prompt=["", ""], output_type="latent",
        )  # fmt: skip
        report = session.report
    assert plan.cache_bytes == report.cache_bytes > 0
    assert (plan.nfe, plan.num_steps) == (report.nfe, report.num_steps) == (5, 12)
    assert plan.plans == {branch: report.plan(branch) for branch in ("cond", "uncond")}
    assert plan.sigmas == report.info.sigmas
    assert {each.kept for each in plan.features.values()} == {3}


class ReadsHiddenStates(FluxPipeline):
    """Takes a layer's states of its text encoder, as HunyuanVideo's pipeline."""

    def _get_clip_prompt_embeds(self, prompt, num_images_per_prompt=1, device=None):
        tokens = self.tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt").input_ids
        states = self.text_encoder(tokens.to(self.text_encoder.device), output_hidden_states=True).hidden_states
        return states[-2].mean(1).to(device or self._execution_device)


def test_a_plan_after_a_run_that_read_a_text_encoder_s_hidden_states(make_flux, generate):
    pipe = ReadsHiddenStates(**make_flux().components)
    pipe.set_progress_bar_config(disable=True)
    with lesa.accelerate(pipe, config()) as session:
        before = session.plan(12, **SMALL)
        generate(pipe, true_cfg_scale=1.0)
        assert session.plan(12, **SMALL) == before
        assert before.cache_bytes == session.report.cache_bytes


def test_a_plan_tells_nobody_that_a_run_does_not_fit(make_flux, generate):
    pipe, told = make_flux(), []
    steps = config(schedule={"kind": "steps", "compute": [0, 9]})
    with lesa.accelerate(pipe, steps, misfit=told.append) as session:
        assert "Steps and TaylorSeer" in repr(session)
        assert session.plan(5, **SMALL).nfe == 5
        assert told == []
        generate(pipe, num_inference_steps=5)
    assert len(told) == 1


def test_a_history_without_an_end_has_places_for_the_steps_that_are_computed(make_flux, generate):
    pipe = make_flux()
    deep = {"schedule": {"kind": "even", "compute": 13}, "predictor": {"kind": "foca"}}
    with lesa.accelerate(pipe, config(**deep)) as session:
        plan = session.plan(24, **SMALL)
        generate(pipe, num_inference_steps=24, true_cfg_scale=1.0)
        report = session.report
    assert (plan.nfe, {each.kept for each in plan.features.values()}) == (report.nfe, {13}) == (13, {13})
    assert plan.cache_bytes == report.cache_bytes


def test_nothing_of_the_pipeline_is_changed_and_no_random_number_drawn(make_flux, generate):
    pipe = make_flux()
    with lesa.accelerate(pipe, config()) as session:
        before, state = vars(pipe).copy(), torch.get_rng_state()
        bits = {name: weight.clone() for name, weight in pipe.transformer.state_dict().items()}
        session.plan(12, **SMALL)
        assert vars(pipe) == before
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(weight, bits[name]) for name, weight in pipe.transformer.state_dict().items())
        assert session.report.num_steps == 0
        cached = generate(pipe)
    fresh = make_flux()
    with lesa.accelerate(fresh, config()):
        assert torch.equal(generate(fresh), cached)


def test_no_weight_is_touched(make_flux):
    """The blocks run on stand-ins: a model whose weights are on the meta device can be planned too."""
    pipe = make_flux()
    pipe.transformer.to("meta")
    with lesa.accelerate(pipe, config()) as session:
        assert session.plan(12, **SMALL).nfe == 5


def test_what_depends_on_data_is_said_to(make_flux):
    gate = {"kind": "teacache", "threshold": 0.1, "coefficients": [1.0, 0.0]}
    with lesa.accelerate(make_flux(), config(schedule=gate)) as session:
        plan = session.plan(12, **SMALL)
    assert plan.nfe is None
    assert plan.plans == {"cond": "F???????????"}
    assert plan.latent_bytes > 0
    assert "what is computed depends on data" in str(plan)


def test_without_a_configuration_the_choice_is_told(make_flux, tmp_path):
    with lesa.accelerate(make_flux(), speedup=2, weights=tmp_path) as session:
        plan = session.plan(12, **SMALL)
    assert plan.choice is not None
    assert "chosen: " in str(plan)


def test_a_bare_transformer_says_what_to_do(make_flux):
    with (
        lesa.accelerate(make_flux().transformer, config(), sigmas=[1.0, 0.5, 0.0]) as session,
        pytest.raises(UnsupportedBackboneError, match=r"bare transformer.*session\.report\.cache_bytes"),
    ):
        session.plan()


def test_an_argument_that_the_pipeline_does_not_take(make_flux):
    with (
        lesa.accelerate(make_flux(), config()) as session,
        pytest.raises(ConfigError, match=r"does not take `num_frames`.*height"),
    ):
        session.plan(12, frames=9)


def test_a_pipeline_that_cannot_run_without_data_says_what_to_do(make_flux):
    with (
        lesa.accelerate(make_flux(), config()) as session,
        pytest.raises(UnsupportedBackboneError, match=r"cannot be told without running it.*cache_bytes"),
    ):
        session.plan(12, call={"prompt_embeds": "no tensor"})


def test_a_folder_s_weights_are_not_read(flux_folder, tmp_path):
    folder = shutil.copytree(flux_folder, tmp_path / "flux", ignore=shutil.ignore_patterns("*.safetensors"))
    pipe = load_outline(find_model(str(folder)), torch.bfloat16)
    with lesa.accelerate(pipe, config()) as session:
        plan = session.plan(12, **SMALL)
    feature = plan.features["cond"]
    assert feature.dtype is torch.bfloat16
    assert plan.cache_bytes == 3 * 2 * torch.Size(feature.shape).numel()


class Whole(FluxTransformer2DModel):
    """Refuses to run with fewer blocks than it was made with."""

    calls = 0

    def forward(self, *args, **kwargs):
        if len(self.transformer_blocks) < self.config.num_layers:
            raise IndexError("a block is missing")
        type(self).calls += 1
        return super().forward(*args, **kwargs)


def test_blocks_that_need_each_other_are_all_run(make_flux):
    """The short way leaves out blocks; a model that cannot do without is run as it is, once for all steps."""
    pipe = make_flux()
    pipe.transformer = Whole(**{**new_transformer().config, "num_layers": 3})
    with lesa.accelerate(pipe, config()) as session:
        assert session.plan(12, **SMALL).nfe == 5
    assert Whole.calls == 1


def test_two_transformers_and_embedded_prompts():
    """Wan 2.2: the second one takes over in the middle, and has branches of its own."""
    pipe = new_wan(second=True)
    with lesa.accelerate(pipe, config()) as session:
        plan = session.plan(8, call={**PROMPTS, **SIZE})
        run(pipe, **PROMPTS, **SIZE)
        report = session.report
    assert plan.plans == {branch: report.plan(branch) for branch in report.branches}
    assert len(plan.features) == 4
    assert plan.cache_bytes == report.cache_bytes
    assert plan.nfe == report.nfe
    assert plan.has_turns
    second = [name for name in report.branches if "transformer_2" in name]
    assert plan.letters == report.plan() + report.plan(second[0])
    assert plan.letters.count("F") == plan.nfe


@pytest.mark.parametrize("size", [16, 64])
def test_what_a_call_works_on_is_foreseen(make_flux, size):
    pipe = make_flux()
    settings = GenerationSettings(num_steps=2, call={"height": size, "width": size, "max_sequence_length": 8})
    generate_batch(pipe, ["a", "b"], [0, 1], settings)  # tables that a model keeps
    with peak_memory(torch.device("cpu")) as meter:
        samples = generate_batch(pipe, ["a", "b"], [0, 1], settings)
    with lesa.accelerate(pipe, config()) as session:
        plan = session.plan(12, batch=2, call=settings.call)
    assert plan.working_bytes == pytest.approx(meter.most, rel=0.25)
    assert plan.sample_shape == tuple(samples.images.shape)
    assert plan.latent_shape == tuple(samples.latents.shape)


def test_attention_on_models_without_data_makes_no_table_of_weights():
    query = torch.empty(1, 4, 4096, 16, device="meta")
    with AttentionWithoutNumbers(), Meter() as meter:
        found = scaled_dot_product_attention(query, query, query[..., :8])
        real = scaled_dot_product_attention(*3 * [torch.ones(1, 1, 2, 4)])
    assert tuple(found.shape) == (1, 4, 4096, 8)
    assert meter.most < 2 * query.nbytes
    assert real.tolist() == torch.ones(1, 1, 2, 4).tolist()


class Staged(Reuse):
    """Wants more history at low noise."""

    depth, num_stages = 3, 2

    def min_history(self, stage):
        return 1 + 2 * stage


def test_a_gate_on_two_transformers_has_a_plan_of_each_one_s_steps_alone():
    gate = TeaCache(0.1, (1.0, 0.0))
    strategy = Strategy(gate, Thresholds((0.8,)), Staged())
    plan = plan_run(new_wan(second=True), strategy, "auto", Tap.PRE_HEAD, 8, call={**PROMPTS, **SIZE})
    first, second = "F???", "FFF?"  # the second one begins in the second stage, with nothing
    assert plan.plans == {
        "cond": first, "uncond": first, "cond (transformer_2)": second, "uncond (transformer_2)": second
    }  # fmt: skip
    assert plan.has_turns
    assert plan.letters == first + second
    assert plan.nfe is None


class BothAtEachStep(TinyPipeline):
    """Calls one transformer with and another one without the prompt, as Ideogram 4."""

    def __init__(self):
        super().__init__(TinyDiT())
        self.unconditional_transformer = TinyDiT(seed=1)

    @torch.no_grad()
    def __call__(self, prompt=(), num_inference_steps=12):
        latent, condition = noise((len(prompt), 6, 4), 0), noise((len(prompt), 3, 4), 1)
        models = self.transformer, self.unconditional_transformer
        self.scheduler.set_timesteps(num_inference_steps)
        for sigma in self.scheduler.sigmas[:-1]:
            given = latent, sigma.expand(len(prompt)), condition
            mean = sum(model(*given, return_dict=False)[0] for model in models) / 2
            latent = self.scheduler.step(mean, latent)
        return latent


@pytest.mark.usefixtures("registered")
def test_transformers_that_are_called_at_each_step_take_no_turns():
    with lesa.accelerate(BothAtEachStep(), config()) as session:
        plan = session.plan(12)
    assert set(plan.plans) == {"branch0", "branch0 (unconditional_transformer)"}
    assert not plan.has_turns
    assert (plan.letters, plan.nfe) == (plan.plans["branch0"], 5)
    model = Model(torch.device("cpu"), 0, (plan,), 1)
    assert work_of_calls(model, 1, 12).endswith("5 of them computed: the whole model runs 10 times")
    assert model.branches == 2
