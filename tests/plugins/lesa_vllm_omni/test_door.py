"""The door into vLLM-Omni, against the parts of vLLM-Omni that it uses."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import ConfigError, UnsupportedBackboneError
from lesa_framework.plugin.manager import plugins
from lesa_vllm_omni import adapters, door
from tests.fixtures_flux import new_transformer
from tests.plugins.lesa_vllm_omni import contract

ALWAYS = {"config": {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}}
TWELVE = "FPPPFPPPFPPP"


@pytest.fixture
def engine(monkeypatch):
    """vLLM-Omni, after it has loaded its plugins: the modules by name."""
    for name in ("LESA_CONFIG", "LESA_SPEEDUP", "LESA_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    modules = contract.install(monkeypatch)
    door.register()
    yield modules
    plugins.cache_clear()  # the backend has registered its adapters


def pipeline(seed: int = 0) -> contract.FluxPipeline:
    model = new_transformer(seed)
    twin = contract.FluxTransformer2DModel(**model.config).eval().requires_grad_(False)
    twin.load_state_dict(model.state_dict())
    return contract.FluxPipeline(twin)


def loaded(engine: Any, cache_config: Any, cache_backend: str = "lesa", pipe: Any = None) -> contract.Runner:
    select = engine[door.RUNNER].get_cache_backend
    return contract.Runner(select, pipe or pipeline(), cache_backend, cache_config)


def plans(runner: contract.Runner) -> set[str]:
    report = runner.cache_backend.session.report
    return {report.plan(branch) for branch in report.branches}


def test_importing_the_door_needs_no_engine():
    code = "import sys, lesa_vllm_omni.door; print([n for n in sys.modules if n.startswith('vllm')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_engine_without_a_selector_goes_on(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "vllm_omni", None)
    door.register()
    assert "cache_backend='lesa' is not there" in caplog.text


class TestRegistering:
    def test_the_runner_has_it_too_and_twice_is_once(self, engine):
        found = engine[door.SELECTOR].get_cache_backend
        assert engine[door.RUNNER].get_cache_backend is found is not contract.get_cache_backend
        door.register()
        assert engine[door.SELECTOR].get_cache_backend is found

    def test_other_backends_are_the_engines(self, engine):
        select = engine[door.RUNNER].get_cache_backend
        assert select("none", {}) is select(None, None) is None
        with pytest.raises(ValueError, match="Unsupported cache backend: other"):
            select("other", {})

    def test_ours_is_a_backend_of_theirs(self, engine):
        for cache_config in (None, {}, {"speedup": 5}, contract.DiffusionCacheConfig()):
            backend = engine[door.RUNNER].get_cache_backend("lesa", cache_config)
            assert isinstance(backend, contract.CacheBackend)
            assert not backend.is_enabled()


class TestRequests:
    def test_every_step_computed_is_the_bare_pipeline(self, engine):
        bare, cached = loaded(engine, None, "none"), loaded(engine, ALWAYS)
        for seeds in ((0,), (1, 2)):
            assert torch.equal(cached.execute(*seeds), bare.execute(*seeds))
        assert cached.cache_backend.session.report.info.backbone == "flux"

    def test_a_speedup_for_any_number_of_steps(self, engine):
        runner = loaded(engine, {"speedup": 4})
        first = runner.execute(0)
        assert plans(runner) == {TWELVE}
        runner.execute(0, num_steps=20)
        assert runner.cache_backend.session.report.nfe == 5
        assert torch.equal(runner.execute(0), first)

    def test_a_batch_is_each_request_alone(self, engine):
        runner = loaded(engine, {"speedup": 4})
        alone = [runner.execute(seed) for seed in (0, 1)]
        torch.testing.assert_close(runner.execute(0, 1), torch.cat(alone), rtol=1e-4, atol=1e-5)
        assert torch.equal(runner.execute(1), alone[1])

    def test_a_request_within_another(self, engine):
        runner = loaded(engine, {"speedup": 4})
        other = contract.FluxPipeline(runner.pipeline.transformer)
        beside = contract.Runner(contract.get_cache_backend, other, "none", None)
        alone, other_alone, within = runner.execute(0), beside.execute(1, num_steps=8), []

        def at_step(index: int) -> None:
            if index == 5:
                within.append(beside.execute(1, num_steps=8))

        assert torch.equal(runner.execute(0, at_step=at_step), alone)
        assert torch.equal(within[0], other_alone)

    def test_a_request_that_is_aborted_leaves_nothing(self, engine):
        runner = loaded(engine, {"speedup": 4})
        alone = runner.execute(0)

        def abort(index: int) -> None:
            if index == 5:
                raise TimeoutError

        with pytest.raises(TimeoutError):
            runner.execute(1, at_step=abort)
        assert torch.equal(runner.execute(0), alone)

    def test_a_transformer_that_the_engine_exchanged(self, engine):
        runner = loaded(engine, {"speedup": 4})
        first, runner.pipeline.transformer = runner.pipeline.transformer, pipeline(1).transformer
        runner.execute(0)
        assert plans(runner) == {TWELVE}
        assert "_lesa_attachment" not in vars(first)

    def test_a_run_that_the_configuration_is_not_for(self, engine, caplog):
        runner = loaded(
            engine, {"config": {"schedule": {"kind": "steps", "compute": [0, 4, 8]}, "predictor": {"kind": "reuse"}}}
        )
        runner.execute(0, num_steps=1)
        assert plans(runner) == {"F"}
        assert "a run of 1 steps is computed" in caplog.text
        runner.execute(0)
        assert plans(runner) == {TWELVE}


class TestOptions:
    def test_the_environment_where_the_configuration_says_nothing(self, engine, monkeypatch):
        monkeypatch.setenv("LESA_SPEEDUP", "3")
        for cache_config, nfe in (({}, 4), ({"speedup": 4}, 3)):
            runner = loaded(engine, cache_config)
            runner.execute(0)
            assert runner.cache_backend.session.report.nfe == nfe

    @pytest.mark.parametrize(
        ("cache_config", "message"),
        [
            ({"speedup": "fast"}, "cache_config.speedup: 'fast' is not a number above 1"),
            ({"sped": 5}, r"cache_config.sped: unknown key. Known: config, speedup, weights. Did you mean 'speedup'\?"),
            ({"config": "no-such"}, "'no-such' is neither a file nor a preset"),
            ({"config": "x", "speedup": 5}, "got a configuration and speedup"),
            ({"rel_l1_thresh": 0.2}, "cache_config.rel_l1_thresh: this is for another cache backend"),
        ],
    )
    def test_what_is_wrong_is_said_when_the_model_is_loaded(self, engine, cache_config, message):
        with pytest.raises(ConfigError, match=message):
            loaded(engine, cache_config)

    def test_a_model_of_another_class(self, engine):
        with pytest.raises(UnsupportedBackboneError, match="Linear: no backbone adapter fits"):
            loaded(engine, {}, pipe=contract.FluxPipeline(torch.nn.Linear(2, 2)))


def test_adapters(engine):
    lesa.add_plugin("lesa_vllm_omni", adapters)
    found = lesa.find_adapter(pipeline().transformer)
    assert (found.kind, type(found.adapter), found.verified) == ("flux", adapters.FluxAdapter, False)
    wan = adapters.WanAdapter()
    assert wan.refuse(torch.nn.Linear(1, 1), {}) is None
    # An error, not a reason: a server computes calls that are refused with one.
    with pytest.raises(UnsupportedBackboneError, match="Linear: with pipeline parallelism"):
        wan.refuse(torch.nn.Linear(1, 1), {"intermediate_tensors": {}})
