"""The plugins that the guides show are real: each is registered and keeps its contract."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from lesa_framework import PredictorConfig, Reuse, RouterConfig, ScheduleConfig, Strategy
from lesa_framework.measure import match, workload_of
from lesa_framework.measure.matching import Measure
from lesa_framework.measure.told import Told
from lesa_framework.plugin.manager import Plugins
from lesa_framework.testing import (
    TinyDiT,
    TinyDiTAdapter,
    TinyPipeline,
    attach,
    check_metric,
    check_predictor,
    check_router,
    check_schedule,
    even_grid,
)
from lesa_framework.testing.conformance.probes import EqualStages
from tests.measured import measured

GUIDES = Path(__file__).parents[2] / "docs" / "how-to" / "extend"


def plugin(guide: str) -> types.ModuleType:
    """The module that a guide shows as `my_package/plugin.py`."""
    blocks = re.findall(r'```python title="my_package/plugin.py"\n(.*?)```', (GUIDES / guide).read_text(), re.DOTALL)
    assert len(blocks) == 1, guide
    module = types.ModuleType(f"guide_{guide.removesuffix('.md')}")
    exec(compile(blocks[0], guide, "exec", dont_inherit=True), module.__dict__)
    return module


@pytest.mark.parametrize("guide", ["predictor.md", "schedule.md", "router.md", "backbone.md"])
def test_the_guides_plugin_registers(guide):
    found = Plugins()
    found.add("guide", plugin(guide))
    catalogs = (found.registry.predictors, found.registry.schedules, found.registry.routers, found.registry.backbones)
    assert sum(len(catalog.names()) for catalog in catalogs) == 1


def test_the_guides_metric():
    found = Plugins()
    found.add("guide", plugin("metric.md"))
    assert found.registry.metrics.names() == {"detail": "guide"}
    metric = found.registry.metrics.get("detail")
    check_metric(metric)
    stripes = torch.arange(8).remainder(2).float().expand(1, 3, 8, 8)
    assert measured(metric.load("cpu"), stripes * 0.25, stripes, ["a"]) == [0.25]
    assert measured(metric.load("cpu"), stripes, torch.zeros_like(stripes), ["a"]) == [None]


def test_the_guides_metric_of_videos():
    still = torch.full((1, 3, 3, 4, 4), 0.5)
    flickering = still + 0.25 * torch.tensor([0, 1, 0]).view(1, 3, 1, 1, 1)
    assert measured(shown("metric.md", "flicker.py").LoadedFlicker(), flickering, still) == [0.25]


def test_the_guides_peer_registers():
    found = Plugins()
    found.add("guide", plugin("peer.md"))
    assert found.registry.peers.names() == {"hold_output": "guide"}


def test_the_guides_peer_passes_its_test(tmp_path):
    """As the page has it, in a process of its own: nothing of this suite's helps it."""
    page = (GUIDES / "peer.md").read_text()
    for title in ("my_package/plugin.py", "tests/test_peer.py"):
        (source,) = re.findall(rf'```python title="{title}"\n(.*?)```', page, re.DOTALL)
        (tmp_path / title).parent.mkdir()
        (tmp_path / title).write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_guides_told_peer_computes_the_steps_that_it_is_told(registered, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_package", types.ModuleType("my_package"))
    monkeypatch.setitem(sys.modules, "my_package.plugin", plugin("peer.md"))
    found, pipe = Plugins(), TinyPipeline(TinyDiT())
    found.add("guide", shown("peer.md", "my_package/told.py"))
    family = found.registry.told_peers.get("hold_output_at")
    workload = workload_of(pipe, 6, lambda: pipe(num_inference_steps=6))
    told = match(Told(family, (0, 1, 4)), pipe, workload, 3, Measure.STEPS)
    assert told.chosen.work.plans == ("FFPPFP",)


@pytest.mark.parametrize(
    ("guide", "base", "check"),
    [
        ("predictor.md", PredictorConfig, check_predictor),
        ("schedule.md", ScheduleConfig, check_schedule),
        ("router.md", RouterConfig, check_router),
    ],
)
def test_the_guides_plugin_keeps_its_contract(guide, base, check):
    module = plugin(guide)
    configs = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    ]
    assert len(configs) == 1
    check(configs[0]())


def test_the_guides_tests_pass(monkeypatch):
    (source,) = re.findall(
        r'```python title="tests/test_adapter.py"\n(.*?)```', (GUIDES / "testing.md").read_text(), re.DOTALL
    )
    package = types.ModuleType("my_package")
    package.MyModel, package.MyModelAdapter = TinyDiT, TinyDiTAdapter
    monkeypatch.setitem(sys.modules, "my_package", package)
    module = types.ModuleType("guide_testing")
    exec(compile(source, "testing.md", "exec", dont_inherit=True), module.__dict__)
    assert len(module.CHECKS) > 20
    for check in module.CHECKS:
        module.test_adapter(check)


def shown(guide: str, title: str) -> types.ModuleType:
    """The module that a guide shows under a title."""
    (source,) = re.findall(rf'```python title="{title}"\n(.*?)```', (GUIDES / guide).read_text(), re.DOTALL)
    module = types.ModuleType(title.removesuffix(".py").replace("/", "_"))
    exec(compile(source, title, "exec", dont_inherit=True), module.__dict__)
    return module


@pytest.mark.parametrize(
    ("guide", "title", "make"),
    [
        (
            "filters.md",
            "per_channel.py",
            lambda module: module.PerChannel(torch.full((20, 1), 0.9), torch.full((20, 1), 0.1)),
        ),
        ("filters.md", "other_branch.py", lambda module: module.FollowsTheOther()),
        ("filters.md", "smoothing.py", lambda module: module.Smoothing()),
        ("predictor.md", "keep_sign.py", lambda module: module.KeepSign()),
    ],
)
def test_the_guides_predictors_keep_their_contract(guide, title, make):
    module = shown(guide, title)

    class Shown(PredictorConfig):
        kind: str = "shown"

        def build(self):
            return make(module)

    check_predictor(Shown())


def test_the_guides_gate_decides_by_the_latent():
    module = shown("schedule.md", "my_package/gate.py")
    check_schedule(module.LatentGateConfig())
    found = Plugins()
    found.add("guide", module)
    assert found.registry.schedules.names() == {"latent_gate": "guide"}
    nfe = []
    for threshold in (0.05, 0.2, 100):
        strategy = Strategy(module.LatentGate(threshold=threshold), EqualStages(), Reuse())
        pipe = TinyPipeline(TinyDiT())
        with attach(pipe.transformer, TinyDiTAdapter(), strategy, even_grid(12)) as session:
            pipe()
        nfe.append(session.report.nfe)
    assert nfe[0] > nfe[1] > nfe[2] == 1
