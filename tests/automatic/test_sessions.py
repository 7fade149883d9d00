"""`accelerate` without a configuration, in tiny pipelines."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch

import lesa_framework as lesa
import lesa_module.plugin
from lesa_framework import ConfigError, LesaWarning, NoiseLevels, Predictor
from lesa_framework.automatic import shelf
from lesa_framework.plugin.registry import Registry
from lesa_framework.testing import TinyDiT, TinyPipeline, TinyScheduler, even_grid
from tests.automatic.shelves import put, put_fitted, run_of

pytestmark = pytest.mark.usefixtures("registered")


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch, tmp_path):
    monkeypatch.delenv("LESA_WEIGHTS", raising=False)
    monkeypatch.setattr(shelf, "DEFAULT_FOLDER", tmp_path / "usual")


def test_without_anything_a_fifth_is_computed():
    pipe = TinyPipeline(TinyDiT())
    with lesa.accelerate(pipe) as session:
        assert session.choice is None
        pipe(num_inference_steps=30)
    assert session.report.plan() == "FPPPPFPPPPFPPPPFPPPPFPPPPFPPPP"
    assert session.choice.name == "taylorseer"


@pytest.mark.parametrize("begin", [0, 7, 10, 26])
def test_what_is_chosen_counts_the_steps_that_run(begin):
    pipe = TinyPipeline(TinyDiT())
    with warnings.catch_warnings(), lesa.accelerate(pipe) as session:
        warnings.simplefilter("error")  # that all of a short end is computed was foreseen
        pipe(num_inference_steps=30, begin=begin)
    report = session.report
    assert (session.choice.nfe, session.choice.num_steps) == (report.nfe, report.num_steps) == (report.nfe, 30 - begin)


def test_it_is_the_cache_that_the_same_configuration_makes():
    with lesa.accelerate(pipe := TinyPipeline(TinyDiT()), speedup=4):
        chosen = pipe()
    raw = {"schedule": {"kind": "even", "speedup": 4}, "predictor": {"kind": "taylorseer", "order": 1}}
    with lesa.accelerate(pipe := TinyPipeline(TinyDiT()), raw):
        assert torch.equal(pipe(), chosen)


def test_a_transformer_with_sigmas():
    model = TinyDiT()
    with lesa.accelerate(model, speedup=3, sigmas=even_grid(6)) as session, torch.no_grad():
        for sigma in even_grid(6)[:-1]:
            model(torch.ones(1, 2, 4), sigma)
    assert session.report.plan() == "FPPFPP"


def test_a_class_without_an_adapter_is_described(registered):
    registered.add("module", lesa_module.plugin)

    section = {"kind": "module", "blocks": ["transformer_blocks", "single_transformer_blocks"], "head": "norm_out",
               "sigma": "timestep", "tap": "output"}  # fmt: skip
    pipe = TinyPipeline(TinyDiT())
    with lesa.accelerate(pipe, speedup=4, backbone=section) as session:
        pipe()
    assert (session.report.info.backbone, session.report.info.tap, session.report.nfe) == ("module", "output", 3)


# -------------------------------------------------------------------------------------------------- weights
def test_weights_of_ones_own(tmp_path):
    model = TinyDiT()
    put(tmp_path / "mine", "mine", run_of(model, tap="output"), compute=(0, 3, 8))
    with lesa.accelerate(pipe := TinyPipeline(model), speedup=4, weights=tmp_path / "mine") as session:
        first = pipe()
        assert str(session.choice).startswith(f"mine (lesa, {tmp_path / 'mine'}), 3 of 12 steps computed: fitted to")
        assert session.report.plan() == "FPPFPPPPFPPP"
        pipe(num_inference_steps=20)
        assert session.choice.reason == "no weights fit: mine was fitted on 12 steps, and this run has 20 steps"
        assert session.report.plan() == "FPPPFPPPFPPPFPPPFPPP"
        assert torch.equal(pipe(), first)
        assert session.choice.name == "mine"
    with lesa.accelerate(pipe := TinyPipeline(model), tmp_path / "mine" / "mine.yaml"):
        assert torch.equal(pipe(), first)


def test_fitted_weights_serve_another_number_of_steps(tmp_path):
    model = TinyDiT()
    put_fitted(tmp_path / "mine", "mine", run_of(model))
    with lesa.accelerate(pipe := TinyPipeline(model), speedup=8, weights=tmp_path / "mine") as session:
        with pytest.warns(LesaWarning, match="fitted on a grid of 12 steps; this run's has 24"):
            carried = pipe(num_inference_steps=24)
        assert (
            session.choice.reason == "fitted to this model on 12 steps; its quality was measured there, not in this run"
        )
        assert session.report.plan() == "FPPPPPPPFPPPPPPPFPPPPPPP"
    raw = {"schedule": {"kind": "steps", "compute": [0, 8, 16]}, "predictor": {"kind": "reuse"}}
    with lesa.accelerate(pipe := TinyPipeline(model), raw):
        assert torch.equal(pipe(num_inference_steps=24), carried)


def test_weights_that_change_under_a_session(tmp_path):
    model = TinyDiT()
    put(tmp_path / "mine", "mine", run_of(model))
    with lesa.accelerate(pipe := TinyPipeline(model), speedup=4, weights=tmp_path / "mine") as session:
        pipe()
        assert session.choice.name == "mine"
        with torch.no_grad():
            model.proj_out.weight.add_(0.01)
        pipe()
        assert session.choice.name == "taylorseer"


# --------------------------------------------------------------------------------------------------- report
def test_the_report_says_what_was_chosen_and_saved():
    with lesa.accelerate(pipe := TinyPipeline(TinyDiT(layers=6)), speedup=4) as session:
        pipe()
    lines = str(session.report).splitlines()
    assert lines[2] == f"  chosen: {session.choice}"
    assert lines[3].startswith("  saved: 9 of 12 steps predicted, ")
    assert session.report.choice == session.choice == session.report.runs[0].choice
    assert session.report.seconds_saved == session.report.runs[0].seconds_saved


def test_with_a_configuration_nothing_is_chosen():
    raw = {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}
    with warnings.catch_warnings(), lesa.accelerate(pipe := TinyPipeline(TinyDiT()), raw) as session:
        warnings.simplefilter("error")
        pipe()
    assert session.choice is None
    assert "chosen" not in str(session.report)
    assert session.report.seconds_saved is None


def test_a_run_of_few_steps():
    with lesa.accelerate(pipe := TinyPipeline(TinyDiT()), speedup=5) as session:
        with pytest.warns(LesaWarning, match="there is nothing to gain in a run of 4 steps"):
            cached = pipe(num_inference_steps=4)
        pipe(num_inference_steps=4)  # said once
        assert session.report.plan() == "FFFF"
        assert "chosen: nothing: there is nothing to gain" in str(session.report)
    assert torch.equal(cached, TinyPipeline(TinyDiT())(num_inference_steps=4))


def test_a_run_in_which_nothing_was_predicted(monkeypatch):
    # As the strict check does with what is not a number: the engine computes instead.
    monkeypatch.setattr("lesa_framework.runtime.features.finite.Finite.refuses", lambda self, feature: True)
    session = lesa.accelerate(pipe := TinyPipeline(TinyDiT()), speedup=4)
    pipe()
    with pytest.warns(LesaWarning, match=r"nothing was predicted: steps were computed instead \(9x non-finite"):
        pipe()
    session.detach()  # said once


def test_a_run_that_was_given_up_is_not_complained_of():
    def stop(pipe, step, latent):
        raise ZeroDivisionError

    with lesa.accelerate(pipe := TinyPipeline(TinyDiT()), speedup=4) as session, pytest.raises(ZeroDivisionError):
        pipe(callback=stop)
    assert session.report.num_steps == 1


def test_a_sampler_that_is_not_the_pipelines():
    model = TinyDiT()
    session = lesa.accelerate(TinyPipeline(model.requires_grad_(False)), speedup=4)
    model(torch.ones(1, 2, 4), 0.9)
    with pytest.warns(LesaWarning, match="does not run this model"):
        model(torch.ones(1, 2, 4), 0.6)
    with pytest.warns(LesaWarning, match="nothing was predicted: the noise levels of its calls are unknown"):
        session.detach()


# -------------------------------------------------------------------------------------------------- threads
def test_requests_in_threads_have_choices_of_their_own(tmp_path):
    model = TinyDiT()
    put(tmp_path / "mine", "mine", run_of(model))
    alone = dict.fromkeys((12, 20, 24, 32))
    with lesa.accelerate(TinyPipeline(model), speedup=4, weights=tmp_path / "mine"):
        for steps in alone:
            alone[steps] = TinyPipeline(model, TinyScheduler())(num_inference_steps=steps)
    found = {}
    with lesa.accelerate(TinyPipeline(model), speedup=4, weights=tmp_path / "mine") as session:

        def request(steps):
            found[steps] = TinyPipeline(model, TinyScheduler())(num_inference_steps=steps), session.choice

        threads = [threading.Thread(target=request, args=(steps,)) for steps in alone]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for steps, (latent, choice) in found.items():
        assert torch.equal(latent, alone[steps])
        assert (choice.name, choice.num_steps) == ("mine" if steps == 12 else "taylorseer", steps)


# ------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"speedup": 0.5}, "speedup: 0.5 is not a number above 1"),
        ({"speedup": 1}, "speedup: 1 is not a number above 1"),
        ({"speedup": "5"}, "speedup: '5' is not a number above 1"),
        ({"weights": 5}, "weights: 5 is no folder"),
        ({"backbone": "flux"}, "backbone: "),
        ({"weights": "nowhere"}, "weights: there is no folder 'nowhere'"),
        ({"backbone": {"tap": "nowhere"}}, "backbone.tap: "),
    ],
)
def test_what_is_wrong_is_said(options, words):
    pipe = TinyPipeline(TinyDiT())
    with pytest.raises(ConfigError, match=words):
        lesa.accelerate(pipe, **options)
    assert "forward" not in pipe.transformer.__dict__


@pytest.mark.parametrize("option", [{"speedup": 5}, {"weights": "."}, {"backbone": {"tap": "output"}}])
def test_a_configuration_or_a_speedup(option):
    raw = {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}
    with pytest.raises(ConfigError, match=rf"got a configuration and {next(iter(option))}, which is for runs without"):
        lesa.accelerate(TinyPipeline(TinyDiT()), raw, **option)


def test_plugins_that_are_missing(monkeypatch):
    class Without:
        registry = Registry()

    monkeypatch.setattr("lesa_framework.automatic.setup.plugins", Without)
    with pytest.raises(ConfigError, match="needs the schedule 'even' and the predictor 'taylorseer', which no install"):
        lesa.accelerate(TinyPipeline(TinyDiT()), speedup=5)


# ------------------------------------------------------------------------------------------------ contracts
def test_weights_serve_one_grid_unless_their_predictor_says_otherwise():
    assert not Predictor.carries_over


def test_noise_levels_are_computed_at_the_nearest_steps():
    schedule = NoiseLevels([0.9, 0.5, 0.52])
    assert schedule.steps(even_grid(10)) == {0, 1, 5}
    assert schedule.steps(even_grid(4)) == {0, 2}
    assert schedule.steps(even_grid(3)) == {0, 1, 2}
