"""On a predicted step no block's weight is moved, however a model is offloaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import pytest
import torch
from diffusers.hooks import group_offloading
from torch import nn

import lesa_framework as lesa
from lesa_diffusers.joint import FluxAdapter
from lesa_framework import Decision, Observer, Tap
from tests.pipelines.parts import run
from tests.pipelines.worded import pixart_sigma
from tests.plugins.lesa_diffusers.choices import config, every_tap

hooks = pytest.importorskip("accelerate.hooks")

#: Names of the modules that were moved, at a step.
Moved = Counter[str]


class Steps(Observer):
    """What was moved at computed and at predicted steps, by module."""

    def __init__(self) -> None:
        self.now: Moved = Counter()
        self.computed: list[Moved] = []
        self.predicted: list[Moved] = []

    def lesa_step_end(self, record, latent, feature):
        found = self.computed if record.decision is Decision.COMPUTE else self.predicted
        found.append(self.now)
        self.now = Counter()


def in_blocks(moved: Moved) -> list[str]:
    return [name for name, times in moved.items() if times and "transformer_blocks" in name]


def check(steps: Steps) -> None:
    assert len(steps.predicted) > len(steps.computed) > 4
    assert all(in_blocks(moved) for moved in steps.computed)
    assert [in_blocks(moved) for moved in steps.predicted] == [[]] * len(steps.predicted)


def names_of(model: nn.Module) -> dict[int, str]:
    return {id(parameter): name for name, parameter in model.named_parameters()}


def offload_leaves(model: nn.Module, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `enable_sequential_cpu_offload`, and counts what is moved."""
    paths = {id(module): name for name, module in model.named_modules()}
    set_own = hooks.set_module_tensor_to_device

    def moving(module, name, device, value=None, **options):
        if torch.device(device).type != "meta":
            steps.now[f"{paths[id(module)]}.{name}"] += 1
        return set_own(module, name, device, value=value, **options)

    monkeypatch.setattr(hooks, "set_module_tensor_to_device", moving)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    hooks.attach_align_device_hook(model, execution_device="cpu", offload=True, weights_map=weights)


@every_tap
def test_sequential_offloading(make_flux, generate, tap, monkeypatch):
    """`enable_sequential_cpu_offload`: the weights of each leaf come when it is called."""
    pipe, fresh = make_flux(), make_flux()
    with lesa.accelerate(fresh, config(tap=tap)):
        expected = generate(fresh)
    steps = Steps()
    offload_leaves(pipe.transformer, steps, monkeypatch)
    with lesa.accelerate(pipe, config(tap=tap), observers=[steps]):
        assert torch.equal(generate(pipe), expected)
    check(steps)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_at_the_output_only_the_model_s_own_parameters_move(monkeypatch):
    pipe, steps = pixart_sigma(), Steps()
    pipe.vae = None  # it is offloaded by nobody here, and would name the device
    offload_leaves(pipe.transformer, steps, monkeypatch)
    with lesa.accelerate(pipe, config(tap=Tap.OUTPUT), observers=[steps]):
        run(pipe, prompt=["a ring"], height=16, width=16, num_inference_steps=12, use_resolution_binning=False)
    check(steps)
    assert steps.predicted == [Counter({".scale_shift_table": 1})] * len(steps.predicted)


@contextmanager
def fetched_ahead(monkeypatch: pytest.MonkeyPatch, steps: Steps, names: dict[int, str]) -> Iterator[None]:
    """Lets group offloading take the numbers of weights away and give them back, and counts that.

    A weight that is used without being there is an error of torch's.
    """
    held: dict[int, torch.Tensor] = {}

    def parameters(group: Any) -> list[nn.Parameter]:
        return [*(each for module in group.modules for each in module.parameters()), *group.parameters]

    def onload(group: Any) -> None:
        for parameter in parameters(group):
            steps.now[names[id(parameter)]] += parameter.numel() == 0
            parameter.data = held[id(parameter)]

    def offload(group: Any) -> None:
        for parameter in parameters(group):
            held.setdefault(id(parameter), parameter.data)
            parameter.data = torch.empty(0)

    monkeypatch.setattr(group_offloading.ModuleGroup, "_init_cpu_param_dict", lambda group: {})
    monkeypatch.setattr(group_offloading.ModuleGroup, "onload_", onload)
    monkeypatch.setattr(group_offloading.ModuleGroup, "offload_", offload)
    yield


class Stream:
    """Counts how often it is waited for."""

    def __init__(self) -> None:
        self.waits = 0

    def synchronize(self) -> None:
        self.waits += 1


@every_tap
@pytest.mark.parametrize("kind", ["block_level", "leaf_level"])
@pytest.mark.parametrize("stream", [False, True])
def test_group_offloading(make_flux, generate, monkeypatch, tap, kind, stream):
    pipe, fresh = make_flux(), make_flux()
    with lesa.accelerate(fresh, config(tap=tap)):
        expected = generate(fresh)
    steps = Steps()
    offloading = group_offloading.GroupOffloadingConfig(
        onload_device=torch.device("cpu"),
        offload_device=torch.device("cpu"),
        offload_type=group_offloading.GroupOffloadingType(kind),
        non_blocking=False,
        record_stream=False,
        low_cpu_mem_usage=False,
        num_blocks_per_group=1,
        stream=Stream() if stream else None,
    )
    with fetched_ahead(monkeypatch, steps, names_of(pipe.transformer)):
        group_offloading._apply_group_offloading(pipe.transformer, offloading)
        with lesa.accelerate(pipe, config(tap=tap), observers=[steps]):
            for _ in range(2):
                assert torch.equal(generate(pipe), expected)
        assert torch.equal(generate(pipe), generate(make_flux()))  # its hooks are what they would be
    check(steps)


def test_group_offloading_where_stand_ins_take_the_place_of_blocks(make_flux, generate, monkeypatch):
    both = "encoder_hidden_states", "hidden_states"
    returns = MappingProxyType({"transformer_blocks": both, "single_transformer_blocks": both})
    monkeypatch.setattr(FluxAdapter, "block_returns", returns)
    test_group_offloading(make_flux, generate, monkeypatch, Tap.PRE_HEAD, "block_level", stream=True)


def test_a_predicted_step_walks_no_modules(make_flux, generate, monkeypatch):
    """The pipeline's cache contexts give the model a registry of hooks, as offloading does."""
    pipe, steps = make_flux(), Steps()
    modules = nn.Module.modules

    def walked(self: nn.Module, *args: Any, **kwargs: Any) -> Iterator[nn.Module]:
        steps.now[type(self).__name__] += 1
        return modules(self, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "modules", walked)
    with lesa.accelerate(pipe, config(), observers=[steps]):
        generate(pipe)
    assert len(steps.predicted) > 4
    assert all(moved[type(pipe.transformer).__name__] for moved in steps.computed)
    assert steps.predicted == [Counter()] * len(steps.predicted)
