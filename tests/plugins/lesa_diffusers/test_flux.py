"""What a session guarantees, on a real `FluxPipeline`."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
from lesa_diffusers.joint import FluxAdapter
from lesa_framework import Tap, UnsupportedBackboneError
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing import check_backbone
from lesa_framework.testing.conformance.traces import differences, traces
from lesa_framework.testing.tiny_pipeline import noise
from tests.fixtures_flux import new_transformer
from tests.plugins.lesa_diffusers.choices import ALWAYS, call, config, every_tap, nameless


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
    calls = iter(seen)  # in the order of the steps; the first computed one is called more often, to look at the model
    assert recorder.features
    for feature in recorder.features:
        assert any(torch.equal(feature, one) for one in calls)
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


def test_resolution_then_step_count_after_an_exception(make_flux, generate):
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


@every_tap
def test_no_block_runs_on_a_predicted_step(flux, generate, tap):
    calls = []
    for block in (*flux.transformer.transformer_blocks, *flux.transformer.single_transformer_blocks):
        block.register_forward_pre_hook(lambda *_: calls.append(1))
    with lesa.accelerate(flux, config(tap=tap)) as session:
        generate(flux)
    assert session.report.plan() == "FFFPPPFPPPFP"
    assert len(calls) == 5 * 2 * 3  # computed steps, branches, blocks


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
    from lesa_kan.trainable_lesa import TrainableLesa

    generate(flux)
    sigmas = tuple(flux.scheduler.sigmas.double().tolist())
    trainable = TrainableLesa(LesaPredictorConfig(hidden=(4,)).shape_for(12), seed=0)
    metadata = ArtifactMetadata(
        kind="lesa", settings=trainable.settings(), sigmas=sigmas, backbone="flux", tap=Tap.PRE_HEAD
    )
    path = tmp_path / "weights.safetensors"
    save_artifact(path, Artifact(metadata, trainable.tensors(sigmas)))
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


def test_a_class_derived_from_flux_is_found(flux, generate):
    derived = type("MyFlux", (type(flux.transformer),), {})
    flux.transformer.__class__ = derived
    assert lesa.find_adapter(flux.transformer).kind == "flux"


def test_a_model_without_an_adapter_gets_the_list_of_adapters():
    with pytest.raises(
        UnsupportedBackboneError,
        match=r"^Linear: no backbone adapter fits this class",
    ):
        lesa.accelerate(torch.nn.Linear(1, 1), config(), sigmas=[1, 0])
