"""The door into SGLang, against the parts of SGLang that it uses."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.models.normalization import AdaLayerNormContinuous

import lesa_framework as lesa
from lesa_framework import ConfigError, UnsupportedBackboneError
from lesa_framework.plugin.manager import plugins
from lesa_sglang import adapters, door
from tests.fixtures_flux import new_transformer
from tests.plugins.lesa_sglang import contract

ALWAYS = "schedule: {kind: always}\npredictor: {kind: reuse}\n"
TWELVE = "FPPPFPPPFPPP"


@pytest.fixture
def sglang(monkeypatch):
    for name in ("LESA_CONFIG", "LESA_SPEEDUP", "LESA_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    yield contract.install(monkeypatch)
    plugins.cache_clear()  # the door has registered its adapters


@pytest.fixture
def started(sglang, monkeypatch, tmp_path):
    """Start SGLang with a variable set: `started(LESA_SPEEDUP="4")`; "always" stands for a file."""

    file = tmp_path / "always.yaml"
    file.write_text(ALWAYS)

    def start(**variables: str) -> Any:
        for name, value in variables.items():
            monkeypatch.setenv(name, str(file) if value == "always" else value)
        door.activate()
        sglang.HookRegistry.apply_hooks()
        return sglang

    return start


def native(seed: int = 0) -> contract.FluxTransformer2DModel:
    model = new_transformer(seed)
    twin = contract.FluxTransformer2DModel(**model.config).eval().requires_grad_(False)
    twin.load_state_dict(model.state_dict())
    return twin


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=3.0)


def attached(model: Any) -> bool:
    return "_lesa_attachment" in vars(model)


def sample(stage: Any, num_steps: int = 12, seed: int = 0, **given: Any) -> torch.Tensor:
    return stage(contract.request(stage, num_steps, seed, **given), None).latents


def planned(stage: Any, num_steps: int) -> str:
    sample(stage, num_steps)
    return session_of(stage).report.plan()


def session_of(stage: Any) -> lesa.Session:
    """The door's session of a stage: the hook on its loop holds it."""
    hook = dict(contract.HookRegistry.hooks)[f"{door.STAGE}._run_denoising_loop"][0][1]
    return next(each.session for each in hook.__self__._served if stage.transformer in each.models)


def test_importing_the_door_needs_no_engine_and_no_plugin_brings_one():
    code = "import sys, lesa_sglang.door; lesa_sglang.door.activate(); print([n for n in sys.modules if 'sglang' in n])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sglang.multimodal_gen" not in found.stdout


def test_without_a_variable_nothing_is_hooked(sglang):
    door.activate()
    assert not sglang.HookRegistry.hooks


class TestDiffusersBackend:
    def test_every_step_computed_is_the_bare_pipeline(self, started, make_flux, generate):
        bare = generate(make_flux())
        pipe = started(LESA_CONFIG="always").DiffusersPipeline(make_flux()).diffusers_pipe
        assert attached(pipe.transformer)
        assert torch.equal(generate(pipe), bare)

    def test_a_speedup_for_any_number_of_steps_and_a_request_within_another(self, started, make_flux, generate):
        pipe = started(LESA_SPEEDUP="4x").DiffusersPipeline(make_flux()).diffusers_pipe
        other = pipe.__class__(**{**pipe.components, "scheduler": copy.deepcopy(pipe.scheduler)})
        other.set_progress_bar_config(disable=True)
        calls = counted(pipe.transformer)
        alone, other_alone = generate(pipe), generate(other, seed=1, num_inference_steps=8)
        assert len(calls) == 2 * (3 + 2)
        within = []

        def callback(_pipe: Any, index: int, *_: Any) -> dict[str, Any]:
            if index == 5:
                within.append(generate(other, seed=1, num_inference_steps=8))
            return {}

        assert torch.equal(generate(pipe, callback_on_step_end=callback), alone)
        assert torch.equal(within[0], other_alone)


def counted(model: Any) -> list[int]:
    """Grows with each run of the model's blocks."""
    calls: list[int] = []
    model.transformer_blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


class TestNativeBackend:
    def test_its_own_classes_are_known_by_their_modules(self, sglang):
        lesa.add_plugin("lesa_sglang", adapters)
        found = lesa.find_adapter(native())
        assert (found.kind, type(found.adapter), found.verified) == ("flux", adapters.FluxAdapter, False)
        assert type(lesa.find_adapter(native(), "flux").adapter) is adapters.FluxAdapter
        assert not isinstance(lesa.find_adapter(new_transformer()).adapter, adapters.FluxAdapter)
        assert found.adapter.guidance({"guidance": torch.tensor([3500.0])}) == 3.5
        assert found.adapter.guidance({}) is None

    @pytest.mark.parametrize("guided", [False, True])
    def test_every_step_computed_is_the_bare_stage(self, started, guided):
        engine = started(LESA_CONFIG="always")
        stage = engine.DenoisingStage(native(), scheduler())
        cached = sample(stage, guided=guided)
        session_of(stage).detach()
        stage.transformer = bare = native()
        assert not attached(bare)
        loop = engine.DenoisingStage._run_denoising_loop.__wrapped__
        request = contract.request(stage, 12, guided=guided)
        context = type(request)(scheduler=stage.scheduler, timesteps=request.timesteps, latents=request.latents)
        with torch.no_grad():
            loop(stage, context, request, None)
        assert torch.equal(context.latents, cached)

    def test_a_speedup_for_any_number_of_steps(self, started):
        stage = started(LESA_SPEEDUP="4").DenoisingStage(native(), scheduler())
        first = sample(stage)
        session = session_of(stage)
        assert {session.report.plan(branch) for branch in session.report.branches} == {TWELVE}
        assert len(session.report.branches) == 2
        assert session.report.info.backbone == "flux"
        sample(stage, 20)
        assert session.report.nfe == 5
        assert torch.equal(sample(stage), first)

    def test_a_loop_that_raises_the_resolution_is_cached_whoever_came_before(self, started):
        engine = started(LESA_SPEEDUP="4")
        stage = engine.ProgressiveDenoisingStage(native(), scheduler())
        first = sample(stage)
        assert session_of(stage).report.plan() == TWELVE
        sample(engine.DenoisingStage(stage.transformer, stage.scheduler))
        assert torch.equal(sample(stage), first)
        sample(stage, 15)  # the resolution changes at a step that is not the schedule's
        assert session_of(stage).report.fallbacks == {lesa.Reason.SHAPE: 2}

    def test_a_loop_that_adds_noise_between_its_steps_is_computed(self, started, caplog):
        stage = started(LESA_SPEEDUP="4").DmdDenoisingStage(native(), scheduler())
        with pytest.warns(lesa.LesaWarning, match="nothing was predicted"):  # a choice says so, as ever
            plans = [planned(stage, 3) for _ in range(2)]
        assert plans == ["FFF"] * 2
        told = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert told == ["a run is computed, every step of it. The scheduler of the pipeline does not run this model."]

    def test_a_request_within_another(self, started):
        engine = started(LESA_SPEEDUP="4")
        stage = engine.DenoisingStage(native(), scheduler())
        other = engine.DenoisingStage(stage.transformer, scheduler())
        alone, other_alone, within = sample(stage), sample(other, 8, seed=1), []

        def at_step(index: int) -> None:
            if index == 5:
                within.append(sample(other, 8, seed=1))

        assert torch.equal(sample(stage, at_step=at_step), alone)
        assert torch.equal(within[0], other_alone)

    def test_a_request_that_breaks_off_leaves_nothing(self, started):
        stage = started(LESA_SPEEDUP="4").DenoisingStage(native(), scheduler())
        alone = sample(stage)

        def stop(index: int) -> None:
            if index == 5:
                raise TimeoutError

        with pytest.raises(TimeoutError):
            sample(stage, seed=1, at_step=stop)
        assert torch.equal(sample(stage), alone)

    def test_a_transformer_that_is_loaded_late_or_exchanged(self, started):
        stage = started(LESA_SPEEDUP="4").DenoisingStage(None, scheduler())
        first = native()
        stage.load = lambda: first
        alone = sample(stage)
        stage.transformer = native(1)
        assert not torch.equal(sample(stage), alone)
        assert session_of(stage).report.plan() == TWELVE
        assert not attached(first)

    def test_a_warm_up_of_one_step_is_computed(self, started, tmp_path, caplog):
        file = tmp_path / "twelve.yaml"
        file.write_text("schedule: {kind: steps, compute: [0, 4, 8]}\npredictor: {kind: reuse}\n")
        stage = started(LESA_CONFIG=str(file)).DenoisingStage(native(), scheduler())
        sample(stage, 1)
        assert session_of(stage).report.plan() == "F"
        assert "a run of 1 steps is computed" in caplog.text
        sample(stage)
        assert session_of(stage).report.plan() == TWELVE


class TestRefusals:
    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({"LESA_SPEEDUP": "fast"}, "LESA_SPEEDUP: 'fast' is not a number above 1"),
            ({"LESA_CONFIG": "no-such"}, "'no-such' is neither a file nor a preset"),
            ({"LESA_CONFIG": "always", "LESA_SPEEDUP": "5"}, "both set"),
        ],
    )
    def test_what_is_wrong_with_a_variable_is_said_when_a_model_is_loaded(self, started, variables, message):
        engine = started(**variables)
        for load in (lambda: engine.DiffusersPipeline(None), lambda: engine.DenoisingStage(None, None)):
            with pytest.raises(ConfigError, match=message):
                load()

    def test_recorded_graphs(self, started, monkeypatch):
        engine = started(LESA_SPEEDUP="4")
        monkeypatch.setattr(engine.DenoisingStage.server_args, "enable_breakable_cuda_graph", True)
        with pytest.raises(ConfigError, match="--enable-breakable-cuda-graph false"):
            engine.DenoisingStage(None, None)

    @pytest.mark.parametrize("kind", ["DenoisingStage", "DmdDenoisingStage", "ProgressiveDenoisingStage"])
    @pytest.mark.parametrize("cache", ["enable_teacache", "enable_spectrum", "enable_cache_dit"])
    def test_a_request_for_another_cache(self, started, kind, cache):
        stage = getattr(started(LESA_SPEEDUP="4"), kind)(native(), scheduler())
        request = contract.request(stage, 12)
        setattr(request, cache, True)
        with pytest.raises(ConfigError, match=f"asks for TeaCache, Spectrum or cache-dit.*{cache}"):
            stage(request, None)

    def test_a_server_that_mounts_cache_dit_unless_a_request_says_no(self, started, monkeypatch):
        engine = started(LESA_SPEEDUP="4")
        monkeypatch.setattr(engine.DenoisingStage, "cache_dit_by_default", True)
        stage = engine.DenoisingStage(native(), scheduler())
        with pytest.raises(ConfigError, match="SGLANG_CACHE_DIT_ENABLED"):
            sample(stage)
        request = contract.request(stage, 12)
        request.enable_cache_dit = False
        stage(request, None)
        assert session_of(stage).report.plan() == TWELVE

    def test_a_model_of_another_class(self, started):
        engine, other = started(LESA_SPEEDUP="4"), torch.nn.Linear(2, 2)
        with pytest.raises(UnsupportedBackboneError, match="Linear: no backbone adapter fits"):
            engine.DenoisingStage(other, scheduler())
        stage = engine.DenoisingStage(None, scheduler())
        stage.load = lambda: other
        with pytest.raises(UnsupportedBackboneError, match="Linear: no backbone adapter fits"):
            sample(stage)

    def test_a_class_that_the_configuration_describes(self, started, tmp_path):
        file = tmp_path / "other.yaml"
        file.write_text(ALWAYS + "backbone: {kind: sglang_flux}\n")
        model = native()
        model.__class__ = type("Another", (contract.diffusers.FluxTransformer2DModel,), {})
        assert started(LESA_CONFIG=str(file)).DenoisingStage(model, scheduler()).transformer is model


def test_qwens_last_norm_is_called_as_a_module(started):
    started(LESA_SPEEDUP="4")
    norm = AdaLayerNormContinuous(8, 8, elementwise_affine=False)
    hidden, condition = torch.randn(1, 3, 8), torch.randn(1, 8)
    replaced = sys.modules[f"{contract.RUNTIME}.models.dits.qwen_image"]._qwen_norm_out
    assert torch.equal(replaced(norm, hidden, condition), norm(hidden, condition))
