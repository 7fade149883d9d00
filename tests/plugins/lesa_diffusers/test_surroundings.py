"""A session among other samplers, pipelines, precisions, offloading and compilation."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
from lesa_framework.testing.tiny_pipeline import noise
from tests.plugins.lesa_diffusers.choices import ALWAYS, config, every_tap


def test_an_exchanged_scheduler(make_flux, generate):
    from diffusers import FlowMatchEulerDiscreteScheduler

    def with_shift(pipe, shift):
        pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        return generate(pipe)

    pipe, fresh = make_flux(), make_flux()
    with lesa.accelerate(pipe, config()) as session:
        generate(pipe)
        second = with_shift(pipe, 1.0)
    assert not session.report.fallbacks
    with lesa.accelerate(fresh, config()):
        assert torch.equal(second, with_shift(fresh, 1.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every_tap
def test_half_precision(make_flux, generate, dtype, tap):
    pipe = make_flux().to(dtype)
    try:
        with lesa.accelerate(pipe, config("taylorseer", tap)) as session:
            latents = generate(pipe)
    finally:
        pipe.to(torch.float32)  # the companions are shared
    assert latents.isfinite().all()
    assert session.report.plan() == "FFFPPPFPPPFP"
    assert not session.report.fallbacks


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("predictor", ["reuse", "taylorseer"])
def test_few_steps(flux, generate, steps, predictor):
    with lesa.accelerate(flux, config(predictor)) as session:
        assert generate(flux, num_inference_steps=steps).isfinite().all()
    assert session.report.plan() == "FFFP"[:steps]


def test_a_list_of_steps_that_is_too_long_is_refused(flux, generate):
    with (
        lesa.accelerate(flux, config(schedule={"kind": "steps", "compute": [0, 5, 30]})),
        pytest.raises(lesa.ConfigError, match="step 30 does not exist in a run of 12 steps; valid: 0 to 11"),
    ):
        generate(flux)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_img2img_runs_a_suffix_of_the_grid_and_names_no_branch(flux, scale):
    from diffusers import FluxImg2ImgPipeline

    pipe = FluxImg2ImgPipeline(**flux.components)
    pipe.set_progress_bar_config(disable=True)
    with lesa.accelerate(pipe, config()) as session:
        pipe(
            prompt="a red ring",
            negative_prompt="",
            true_cfg_scale=scale,
            image=torch.rand(1, 3, 16, 16),
            strength=0.5,
            num_inference_steps=12,
            height=16,
            width=16,
            max_sequence_length=8,
            output_type="latent",
        )
    report = session.report
    assert [each.info.begin for each in report.runs] == [6]
    assert report.branches == (("branch0", "branch1") if scale > 1 else ("branch0",))
    for branch in report.branches:
        assert [record.index for record in report.records if record.branch == branch] == list(range(6, 12))
        assert report.plan(branch) == "FPPPFP"
    assert not report.fallbacks


def test_controlnet_residuals_reach_computed_steps_only(flux):
    model, latent = flux.transformer, noise((1, 4, 32), 0)
    residuals = [noise((1, 4, 16), 1)]

    def run(**extra):
        return model(
            hidden_states=latent,
            timestep=torch.tensor([1.0]),
            encoder_hidden_states=noise((1, 3, 96), 0),
            pooled_projections=noise((1, 64), 0),
            txt_ids=torch.zeros(3, 3),
            img_ids=torch.zeros(4, 3),
            return_dict=False,
            **extra,
        )[0]

    with torch.no_grad():
        bare, controlled = run(), run(controlnet_block_samples=residuals)
        with lesa.accelerate(model, config(schedule=ALWAYS), sigmas=[1.0, 0.0]):
            assert torch.equal(run(controlnet_block_samples=residuals), controlled)
    assert not torch.equal(bare, controlled)


def test_model_offload_of_accelerate(make_flux, generate):
    hooks = pytest.importorskip("accelerate.hooks")
    pipe, fresh = make_flux(), make_flux()
    with lesa.accelerate(fresh, config()):
        expected = generate(fresh)
    hook = hooks.CpuOffload(execution_device="cpu")
    hooks.add_hook_to_module(pipe.transformer, hook)
    with lesa.accelerate(pipe, config()) as session:
        for _ in range(2):
            assert torch.equal(generate(pipe), expected)
            assert session.report.nfe == 5
            hooks.remove_hook_from_module(pipe.transformer, recurse=True)
            hooks.add_hook_to_module(pipe.transformer, hook)


@pytest.mark.parametrize("when", ["before", "while attached"])
@pytest.mark.parametrize("kind", ["block_level", "leaf_level"])
def test_group_offload_of_diffusers(make_flux, generate, when, kind):
    def offload(pipe):
        pipe.transformer.enable_group_offload(
            onload_device=torch.device("cpu"),
            offload_device=torch.device("cpu"),
            offload_type=kind,
            num_blocks_per_group=1,
        )

    pipe, fresh = make_flux(), make_flux()
    with lesa.accelerate(fresh, config()):
        expected = generate(fresh)
    if when == "before":
        offload(pipe)
    with lesa.accelerate(pipe, config()) as session:
        if when == "while attached":
            offload(pipe)
        for _ in range(2):
            assert torch.equal(generate(pipe), expected)
            assert session.report.nfe == 5
    assert torch.equal(generate(pipe), generate(make_flux()))


def test_another_sampler(flux, generate):
    from diffusers import UniPCMultistepScheduler

    flux.scheduler = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
    with lesa.accelerate(flux, config("taylorseer")) as session:
        assert generate(flux).isfinite().all()
    assert session.report.plan() == "FFFPPPFPPPFP"
    assert not session.report.fallbacks


@every_tap
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # the bare model's too, under autocast
def test_autocast(flux, generate, tap):
    with lesa.accelerate(flux, config("taylorseer", tap)) as session, torch.autocast("cpu", dtype=torch.bfloat16):
        assert generate(flux).isfinite().all()
    assert session.report.plan() == "FFFPPPFPPPFP"
    assert not session.report.fallbacks


@pytest.fixture
def compiled_once():
    """Functions may be compiled once in a test, and not again from step to step."""
    import torch._dynamo as dynamo

    dynamo.reset()
    with dynamo.config.patch(error_on_recompile=True):
        yield
    dynamo.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_once")
@pytest.mark.parametrize("tap", ["pre_head", "output"])
def test_a_compiled_model(make_flux, generate, tap):
    pipe, fresh = make_flux(), make_flux()
    with lesa.accelerate(fresh, config("taylorseer", tap)):
        expected = generate(fresh)
    pipe.transformer = torch.compile(pipe.transformer, backend="eager", fullgraph=True)
    with lesa.accelerate(pipe, config("taylorseer", tap)) as session:
        assert torch.equal(generate(pipe), expected)
    assert session.report.plan() == "FFFPPPFPPPFP"


@pytest.mark.slow
def test_compiled_blocks(make_flux, generate):
    import torch._dynamo as dynamo

    dynamo.reset()
    pipe, fresh = make_flux(), make_flux()
    with lesa.accelerate(fresh, config()):
        expected = generate(fresh)
    pipe.transformer.compile_repeated_blocks(backend="eager", fullgraph=True)
    generate(pipe)  # diffusers' blocks are compiled twice: the first one's input has other strides
    with lesa.accelerate(pipe, config()) as session, dynamo.config.patch(error_on_recompile=True):
        assert torch.equal(generate(pipe), expected)
    assert session.report.nfe == 5
    dynamo.reset()
