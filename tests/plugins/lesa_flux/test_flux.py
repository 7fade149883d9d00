"""The promises of a session, on a real `FluxPipeline`."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

import lesa_framework as lesa
from lesa_flux.adapter import FluxAdapter
from lesa_framework import Tap, UnsupportedBackboneError
from lesa_framework.testing import check_backbone
from lesa_framework.testing.conformance.probes import Recorder
from lesa_framework.testing.conformance.traces import differences, traces
from lesa_framework.testing.tiny_pipeline import noise
from tests.fixtures_flux import new_transformer

every_tap = pytest.mark.parametrize("tap", [tap.value for tap in Tap])


def config(predictor="reuse", tap="pre_head", schedule=None, **settings):
    return lesa.load_config(
        {
            "schedule": schedule or {"kind": "fixed_interval", "interval": 4},
            "predictor": {"kind": predictor, **settings},
            "backbone": {"tap": tap},
        }
    )


ALWAYS = {"kind": "always"}


def call(model, latent, sigma, prompt):
    batch, tokens, _ = latent.shape
    grid = torch.cartesian_prod(torch.zeros(1), torch.arange(2.0), torch.arange(tokens / 2))
    return model(
        hidden_states=latent,
        timestep=torch.full((batch,), sigma),
        encoder_hidden_states=noise((batch, 3, 96), prompt),
        pooled_projections=noise((batch, 64), prompt),
        txt_ids=torch.zeros(3, 3),
        img_ids=grid,
        return_dict=False,
    )[0]


def test_the_adapter_keeps_its_contract():
    check_backbone(
        FluxAdapter, make_model=new_transformer, call=call, make_latent=lambda size: noise((1, 4 * size, 32), 0)
    )


@pytest.mark.parametrize("tap", list(Tap))
def test_the_taps_are_where_the_method_says(flux, generate, tap):
    seen, recorder = [], Recorder()

    def watch(_module, args, output):
        seen.append({Tap.PRE_HEAD: args[0], Tap.POST_NORM: output}[tap].clone())

    handle = None if tap is Tap.OUTPUT else flux.transformer.norm_out.register_forward_hook(watch)
    with lesa.accelerate(flux, config(tap=tap.value, schedule=ALWAYS), observers=[recorder]):
        if tap is Tap.OUTPUT:
            seen.append(call(flux.transformer, noise((1, 4, 32), 0), 1.0, 0))
        else:
            generate(flux, num_inference_steps=2)
    if handle is not None:
        handle.remove()
    assert len(seen) == len(recorder.features)
    for feature, expected in zip(recorder.features, seen, strict=True):
        assert torch.equal(feature, expected)
        assert feature.shape[1:] == (4, 32 if tap is Tap.OUTPUT else 16)  # image tokens only


@every_tap
def test_always_is_bit_identical(make_flux, generate, tap):
    bare, pipe = generate(make_flux()), make_flux()
    with lesa.accelerate(pipe, config(tap=tap, schedule=ALWAYS)) as session:
        assert torch.equal(generate(pipe), bare)
    assert session.report.plan() == "F" * 12
    assert session.report.branches == ("cond", "uncond")


@every_tap
def test_attach_run_detach_leaves_no_trace(make_flux, generate, tap):
    # cache_context of diffusers itself leaves a registry on the model, so the model has run before.
    pipe = make_flux()
    bare, before = generate(pipe), traces(pipe.transformer)
    with lesa.accelerate(pipe, config("taylorseer", tap)):
        assert not torch.equal(generate(pipe), bare)
    assert differences(before, traces(pipe.transformer)) == []
    assert torch.equal(generate(pipe), bare)


def test_a_model_that_never_ran_before_has_the_traces_of_a_bare_one(make_flux, generate):
    used, bare = make_flux(), make_flux()
    with lesa.accelerate(used, config()):
        generate(used)
    generate(bare)
    for (_, mine), (_, theirs) in zip(used.transformer.named_modules(), bare.transformer.named_modules(), strict=True):
        assert mine.__dict__.keys() == theirs.__dict__.keys()
        assert type(mine) is type(theirs)


@every_tap
@pytest.mark.parametrize(
    "other",
    [{"height": 24}, {"num_inference_steps": 20}, {"num_images_per_prompt": 2}, {"true_cfg_scale": 1.0}, {"seed": 3}],
    ids=str,
)
def test_an_exception_in_the_callback_then_another_call(make_flux, generate, tap, other):
    def interrupt(_pipe, step, _timestep, tensors):
        if step == 5:
            raise RuntimeError("stop")
        return tensors

    def fresh(**arguments):
        pipe = make_flux()
        with lesa.accelerate(pipe, config(tap=tap)):
            return generate(pipe, **arguments)

    pipe = make_flux()
    with lesa.accelerate(pipe, config(tap=tap)):
        with pytest.raises(RuntimeError, match="stop"):
            generate(pipe, callback_on_step_end=interrupt)
        assert torch.equal(generate(pipe, **other), fresh(**other))
        assert torch.equal(generate(pipe), fresh())


def test_resolution_then_step_count_behind_an_exception(make_flux, generate):
    def interrupt(*_):
        raise RuntimeError("stop")

    def fresh(**arguments):
        pipe = make_flux()
        with lesa.accelerate(pipe, config("taylorseer", order=2)):
            return generate(pipe, **arguments)

    pipe = make_flux()
    with lesa.accelerate(pipe, config("taylorseer", order=2)):
        with pytest.raises(RuntimeError, match="stop"):
            generate(pipe, callback_on_step_end=interrupt)
        for other in ({"height": 24, "width": 32}, {"num_inference_steps": 17}, {}):
            assert torch.equal(generate(pipe, **other), fresh(**other))


def test_two_pipelines_in_turns(make_flux, generate):
    one, two = make_flux(0), make_flux(1)

    def other(_pipe, step, _timestep, tensors):
        if step == 6:
            generate(two, seed=5)
        return tensors

    alone = make_flux(0)
    with lesa.accelerate(alone, config()):
        expected = generate(alone)
    with lesa.accelerate(one, config()), lesa.accelerate(two, config("taylorseer")):
        assert torch.equal(generate(one, callback_on_step_end=other), expected)


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


@every_tap
def test_no_block_runs_on_a_predicted_step(flux, generate, tap):
    calls = []
    for block in (*flux.transformer.transformer_blocks, *flux.transformer.single_transformer_blocks):
        block.register_forward_pre_hook(lambda *_: calls.append(1))
    with lesa.accelerate(flux, config(tap=tap)) as session:
        generate(flux)
    assert session.report.plan() == "FFFPPPFPPPFP"
    assert len(calls) == 5 * 2 * 3  # computed steps, branches, blocks


@contextmanager
def nameless(_name):
    """Stands in for `cache_context` where a pipeline never calls it."""
    yield


@pytest.mark.parametrize("renew", [False, True], ids=["same tensors", "new tensors"])
def test_branches_without_cache_context(make_flux, generate, renew):
    named, pipe = make_flux(), make_flux()
    with lesa.accelerate(named, config()):
        expected = generate(named)
    if renew:
        inner = pipe.transformer.forward
        pipe.transformer.forward = lambda encoder_hidden_states, **rest: inner(
            encoder_hidden_states=encoder_hidden_states.clone(), **rest
        )
    with lesa.accelerate(pipe, config()) as session:
        pipe.transformer.cache_context = nameless
        assert torch.equal(generate(pipe), expected)
    assert session.report.branches == ("branch0", "branch1")


@pytest.mark.parametrize("start", [0, 4])
def test_conditioning_that_changes_at_every_step(make_flux, generate, start):
    # The callback may exchange the prompt; then only the order of the calls tells the branches apart.
    pipe = make_flux()

    def renew(_pipe, step, _timestep, tensors):
        return {"prompt_embeds": tensors["prompt_embeds"] + 0.01} if step >= start else {}

    with lesa.accelerate(pipe, config()) as session:
        pipe.transformer.cache_context = nameless
        generate(pipe, callback_on_step_end=renew, callback_on_step_end_tensor_inputs=["prompt_embeds"])
    report = session.report
    assert report.plan("branch1") == "FFFPPPFPPPFP"
    if start == 0:
        assert report.branches == ("branch0", "branch1")
        assert report.plan("branch0") == "FFFPPPFPPPFP"
    else:
        # A prompt that was known and then changes begins a history of its own, once.
        assert report.branches == ("branch0", "branch1", "branch2")
        assert report.plan("branch0") + report.plan("branch2") == "FFFPP" + "FFPPPFP"
    assert not report.fallbacks


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


@pytest.mark.parametrize("name", ["reuse", "taylorseer", "lesa"])
def test_swapping_the_predictor_is_one_line_of_yaml(make_flux, generate, tmp_path, name, lesa_weights):
    lines = {
        "reuse": "predictor: {kind: reuse}",
        "taylorseer": "predictor: {kind: taylorseer}",
        "lesa": f"predictor: {{kind: lesa, weights: {lesa_weights}}}",
    }
    file = tmp_path / "run.yaml"
    file.write_text(
        "schedule: {kind: fixed_interval, interval: 4}\n"
        "router: {kind: thresholds, boundaries: [0.9, 0.5]}\n"
        f"{lines[name]}\n"
        "backbone: {kind: auto, tap: pre_head}\n"
    )
    pipe = make_flux()
    with lesa.accelerate(pipe, file) as session:
        latents = generate(pipe, num_inference_steps=12)
    assert latents.isfinite().all()
    assert session.report.plan() == ("FFFFPPFPPPFP" if name == "lesa" else "FFFPPPFPPPFP")
    assert not session.report.fallbacks


@pytest.fixture
def lesa_weights(tmp_path, flux, generate):
    """Untrained LESA weights for twelve steps of the tiny pipeline's own grid."""
    pytest.importorskip("kan")
    from lesa_framework.artifacts import Artifact, ArtifactMetadata, save_artifact
    from lesa_kan.predictor import LesaPredictorConfig

    generate(flux)
    sigmas = tuple(flux.scheduler.sigmas.double().tolist())
    learner = LesaPredictorConfig(hidden=(4,)).trainable(num_steps=12, seed=0)
    metadata = ArtifactMetadata(
        kind="lesa", settings=learner.settings(), sigmas=sigmas, backbone="flux", tap=Tap.PRE_HEAD
    )
    path = tmp_path / "weights.safetensors"
    save_artifact(path, Artifact(metadata, learner.tensors(sigmas)))
    return path


def test_weights_for_another_step_count_are_refused_by_the_run(flux, generate, lesa_weights):
    choice = lesa.load_config(
        {
            "schedule": {"kind": "fixed_interval", "interval": 4},
            "router": {"kind": "thresholds"},
            "predictor": {"kind": "lesa", "weights": str(lesa_weights)},
        }
    )
    with lesa.accelerate(flux, choice) as session:
        with pytest.raises(lesa.ArtifactError, match="trained for 12 steps, but the run has 20"):
            generate(flux, num_inference_steps=20)
        assert generate(flux).isfinite().all()
    assert session.report.nfe < 12


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


def test_a_compiled_wrapper_is_refused_with_the_remedy(flux):
    flux.transformer = torch.compile(flux.transformer, backend="eager")
    with pytest.raises(
        UnsupportedBackboneError, match=r"compile its blocks: `transformer.compile_repeated_blocks\(\)`"
    ):
        lesa.accelerate(flux, config())


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # what torch.compile itself warns of is not ours
def test_compiled_blocks(make_flux, generate):
    pipe, fresh = make_flux(), make_flux()
    with lesa.accelerate(fresh, config()):
        expected = generate(fresh)
    pipe.transformer.compile_repeated_blocks(backend="eager")
    with lesa.accelerate(pipe, config()) as session:
        torch.testing.assert_close(generate(pipe), expected, atol=1e-5, rtol=1e-5)
    assert session.report.nfe == 5


def test_a_class_derived_from_flux_is_found(flux, generate):
    derived = type("MyFlux", (type(flux.transformer),), {})
    flux.transformer.__class__ = derived
    assert lesa.find_adapter(flux.transformer)[0] == "flux"


def test_a_model_without_an_adapter_is_told_what_there_is():
    with pytest.raises(
        UnsupportedBackboneError,
        match=r"Linear: no backbone adapter fits this class. Known: .*FluxTransformer2DModel \(flux\)",
    ):
        lesa.accelerate(torch.nn.Linear(1, 1), config(), sigmas=[1, 0])
