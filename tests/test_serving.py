"""What plugins of serving programs share: options, and a cache that computes what it cannot serve."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import pytest
import torch

from lesa_framework import ArtifactError, ConfigError, LesaWarning
from lesa_framework.serving import ServingOptions, options_from_environment, options_from_mapping, serve
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, TinyPipeline, TinyScheduler
from tests.runtime.calls.test_callers_of_every_kind import SteppingPipeline

STEPS = {"schedule": {"kind": "steps", "compute": [0, 1, 5]}, "predictor": {"kind": "reuse"}}
#: Both ways to ask for a cache.
ASKED = pytest.mark.parametrize("options", [ServingOptions(STEPS), ServingOptions(speedup=4.0)], ids=str)


class Ratios(TinyScheduler):
    """Shows numbers that are no noise levels."""

    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.sigmas = 2 * self.sigmas


class Apart(TinyScheduler):
    """Shows timesteps that are not those that the model is given."""

    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.timesteps = 500 * self.sigmas[:-1]


def refused(given) -> str:
    with pytest.raises((ConfigError, ArtifactError)) as caught:
        options_from_mapping(given, "cache_config")
    return str(caught.value)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("LESA_CONFIG", "LESA_SPEEDUP", "LESA_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)


class TestOptions:
    def test_each_way(self, tmp_path):
        assert options_from_mapping({}, "x") == ServingOptions()
        assert options_from_mapping({"speedup": 5}, "x").speedup == 5.0
        assert options_from_mapping({"speedup": "2.5x", "weights": str(tmp_path)}, "x") == ServingOptions(
            None, 2.5, str(tmp_path)
        )
        assert options_from_mapping({"config": STEPS}, "x").config == STEPS
        assert options_from_mapping({"config": "ref-flux-lesa-n7"}, "x").config == "ref-flux-lesa-n7"

    def test_the_users_own_folder_of_weights(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "mine").mkdir()
        assert options_from_mapping({"weights": "~/mine"}, "x").weights == "~/mine"

    @pytest.mark.parametrize("speedup", [1, 0, "fast", True, float("nan"), float("inf"), [5]])
    def test_a_speedup_that_is_none(self, speedup):
        assert "is not a number above 1. With 5, one step in five is computed." in refused({"speedup": speedup})

    def test_what_is_wrong_is_named_as_it_was_given(self, tmp_path):
        assert refused({"sped": 5}).startswith(
            "cache_config.sped: unknown key. Known: config, speedup, weights. Did you"
        )
        assert "neither a file nor a preset" in refused({"config": "no-such"})
        assert refused({"config": 5}).startswith("cache_config.config: 5 is not a configuration.")
        assert refused({"weights": 5}).startswith("cache_config.weights: 5 is not a folder.")
        assert "does not exist" in refused({"weights": str(tmp_path / "none")})
        assert "the folder '' does not exist" in refused({"weights": ""})
        assert "got a configuration and speedup" in refused({"config": STEPS, "speedup": 5})
        (tmp_path / "broken.safetensors").write_bytes(b"no weights")
        assert "broken.safetensors" in refused({"config": str(tmp_path / "broken.safetensors")})

    def test_missing_weights_are_found_before_the_first_request(self, tmp_path):
        raw = {
            "schedule": {"kind": "even", "compute": 4},
            "predictor": {"kind": "fitted", "weights": "none.safetensors"},
        }
        with pytest.raises(ArtifactError, match=r"none\.safetensors: no such weights file"):
            options_from_mapping({"config": raw}, "cache_config")

    def test_a_folder_of_weights_that_is_none_is_found_before_the_first_request(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LESA_SPEEDUP", "5")
        monkeypatch.setenv("LESA_WEIGHTS", str(tmp_path / "none"))
        with pytest.raises(ConfigError, match="LESA_WEIGHTS"):
            options_from_environment()

    def test_the_environment(self, monkeypatch):
        assert options_from_environment() is None
        monkeypatch.setenv("LESA_SPEEDUP", "5x")
        assert options_from_environment() == ServingOptions(speedup=5.0)
        monkeypatch.setenv("LESA_CONFIG", "ref-flux-lesa-n7")
        with pytest.raises(ConfigError, match="LESA_CONFIG and LESA_SPEEDUP are both set"):
            options_from_environment()
        monkeypatch.setenv("LESA_SPEEDUP", "soon")
        monkeypatch.delenv("LESA_CONFIG")
        with pytest.raises(ConfigError, match="LESA_SPEEDUP: 'soon' is not a number above 1"):
            options_from_environment()


@pytest.mark.usefixtures("registered")
class TestServing:
    def test_a_run_that_the_configuration_is_not_for_is_computed(self, caplog):
        pipe = TinyPipeline(TinyDiT())
        bare = pipe(num_inference_steps=3)
        with caplog.at_level(logging.INFO, "lesa_framework.serving"), serve(pipe, ServingOptions(STEPS)) as session:
            assert torch.equal(pipe(num_inference_steps=3), bare)
            assert session.report.plan() == "FFF"
            assert "compute" in session.choice.reason
            for steps in (3, 2, 8):
                pipe(num_inference_steps=steps)
            assert session.report.plan() == "FFPPPFPP"
            assert session.choice is None
        assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
        assert "a run of 3 steps is computed, every step of it. schedule" in caplog.text
        assert "lesa: 3 of 8 steps computed." in caplog.text

    @pytest.mark.parametrize(
        ("options", "steps", "why"),
        [
            (ServingOptions({**STEPS, "schedule": {"kind": "even", "compute": 4}}), 3, "the schedule says so."),
            (ServingOptions(speedup=5.0), 4, "there is nothing to gain in a run of 4 steps"),
        ],
        ids=["configuration", "speed-up"],
    )
    def test_runs_in_which_nothing_is_predicted_are_told_of_once(self, options, steps, why, caplog):
        pipe = TinyPipeline(TinyDiT())
        with caplog.at_level(logging.WARNING, "lesa_framework.serving"), serve(pipe, options) as session:
            with pytest.warns(LesaWarning, match="very step is computed"):
                pipe(num_inference_steps=steps)
            pipe(num_inference_steps=steps)
            assert session.report.plan() == "F" * steps
            pipe(num_inference_steps=steps - 1)
            pipe(num_inference_steps=12)
            assert "P" in session.report.plan()
        (told,) = caplog.messages
        assert told.startswith(f"a run of {steps} steps is computed, every step of it: {why}")

    def test_a_run_that_broke_off_is_not_complained_of(self, caplog):
        def stop(pipe, step, latent):
            raise TimeoutError

        pipe = TinyPipeline(TinyDiT())
        with caplog.at_level(logging.WARNING, "lesa_framework.serving"), serve(pipe, ServingOptions(STEPS)) as session:
            with pytest.raises(TimeoutError):
                pipe(num_inference_steps=8, callback=stop)
            assert session.report.plan() == "F"
        assert not caplog.messages

    def test_a_run_is_logged_as_soon_as_its_call_has_ended(self, caplog):
        pipe = TinyPipeline(TinyDiT())
        with caplog.at_level(logging.INFO, "lesa_framework.serving"), serve(pipe, ServingOptions(STEPS)):
            pipe(num_inference_steps=8)
            assert "lesa: 3 of 8 steps computed." in caplog.text  # `messages` would ask the session for its report

    def test_a_run_of_a_method_is_logged_before_the_function_around_it_ends(self, caplog):
        def work(pipe):
            with torch.no_grad():
                pipe.generate(8)
            assert "lesa: 3 of 8 steps computed." in caplog.text

        pipe = SteppingPipeline(TinyDiT())
        with caplog.at_level(logging.INFO, "lesa_framework.serving"), serve(pipe, ServingOptions(STEPS)):
            work(pipe)

    def test_a_speedup_follows_the_number_of_steps(self):
        pipe = TinyPipeline(TinyDiT())
        with serve(pipe, ServingOptions(speedup=4.0)) as session:
            for steps in (12, 20, 12):
                pipe(num_inference_steps=steps)
                assert session.report.nfe == steps // 4

    @ASKED
    def test_calls_that_the_adapter_refuses_are_computed(self, options, caplog, monkeypatch):
        def refuse(self, model, arguments):
            return "seven tokens are not cached." if arguments["hidden_states"].shape[1] == 7 else None

        monkeypatch.setattr(TinyDiTAdapter, "refuse", refuse)
        pipe = TinyPipeline(TinyDiT())
        bare = pipe(tokens=7)
        with caplog.at_level(logging.WARNING, "lesa_framework.serving"), serve(pipe, options) as session:
            assert torch.equal(pipe(tokens=7), bare)
            pipe(num_inference_steps=12)
            assert "P" in session.report.plan()
            assert torch.equal(pipe(tokens=7), bare)
        assert caplog.messages == ["a call is computed. TinyDiT: seven tokens are not cached."]

    def test_after_a_refused_call_nothing_is_predicted_from_what_was_before_it(self, caplog, monkeypatch):
        model, levels = TinyDiT(), []

        def refuse(self, model, arguments):
            levels.append(float(arguments["timestep"]))
            return "the fourth call is not cached." if len(levels) == 4 else None

        monkeypatch.setattr(TinyDiTAdapter, "refuse", refuse)
        pipe = TinyPipeline(model)
        with serve(pipe, ServingOptions(STEPS)) as session:
            pipe(num_inference_steps=8)
            assert [run.plan() for run in session.report.runs] == ["FFP", "FFPP"]
        assert "the fourth call is not cached." in caplog.text

    @ASKED
    @pytest.mark.parametrize("scheduler", [Ratios, Apart])
    def test_a_run_whose_sampler_cannot_be_followed_is_computed(self, options, scheduler, caplog):
        pipe = TinyPipeline(TinyDiT(), scheduler())
        bare = pipe(num_inference_steps=8)
        # A cache that was chosen says besides, as ever, that it came to nothing.
        besides = pytest.warns(LesaWarning, match="nothing was predicted") if options.speedup else nullcontext()
        with caplog.at_level(logging.INFO, "lesa_framework.serving"), serve(pipe, options) as session, besides:
            for _ in range(2):
                assert torch.equal(pipe(num_inference_steps=8), bare)
            assert len(session.report.runs) == 1
            assert session.report.plan() == "F" * 8
            pipe.scheduler = TinyScheduler()
            pipe(num_inference_steps=12)
            assert "P" in session.report.plan()
        (told,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert told.startswith(f"a run is computed, every step of it. {scheduler.__name__}: ")
