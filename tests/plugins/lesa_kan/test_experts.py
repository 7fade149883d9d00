from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from lesa_framework import ConfigError
from lesa_kan.authors import convert_layer
from lesa_kan.experts import Experts, ExpertShape, _no_uninitialised_memory, differences, new_kan

GRID, ORDER = 5, 3


def authors_layer(fan_in: int, fan_out: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    knots = torch.linspace(-3, 3, GRID + 1)
    spacing = knots[1] - knots[0]
    grid = torch.arange(-ORDER, GRID + ORDER + 1) * spacing - 3
    return {
        "grid": grid.expand(fan_in, -1).clone(),
        "base_weight": torch.randn(fan_out, fan_in, generator=generator),
        "spline_weight": torch.randn(fan_out, fan_in, GRID + ORDER, generator=generator),
        "spline_scaler": torch.randn(fan_out, fan_in, generator=generator),
    }


def authors_forward(layer: dict[str, torch.Tensor], x: np.ndarray) -> np.ndarray:
    """The authors' layer, evaluated with scipy's B-splines in float64."""
    part = {name: tensor.double().numpy() for name, tensor in layer.items()}
    result = (x / (1 + np.exp(-x))) @ part["base_weight"].T
    for i in range(x.shape[1]):
        for j in range(part["spline_weight"].shape[2]):
            basis = BSpline.basis_element(part["grid"][i, j : j + ORDER + 2], extrapolate=False)(x[:, i])
            weight = part["spline_scaler"][:, i] * part["spline_weight"][:, i, j]
            result += np.nan_to_num(basis)[:, None] * weight
    return result


def test_pykan_with_converted_weights_equals_the_authors_network() -> None:
    shape = ExpertShape(num_steps=6, stage_history=(2,), hidden=(4, 3))
    experts = Experts(shape, seed=0)
    layers = [authors_layer(a, b, n) for n, (a, b) in enumerate([(7, 4), (4, 3), (3, 1)])]
    # Small numbers, so that hidden values stay where the splines live.
    for layer in layers:
        layer["base_weight"] *= 0.2
        layer["spline_scaler"] *= 0.2
    state = experts.compact_state()
    for number, layer in enumerate(layers):
        for name, tensor in convert_layer(layer).items():
            state[f"kan.0.{number}.{name}"] = tensor
    experts.load_compact(state)
    sigmas = (1.0, 0.93, 0.8, 0.55, 0.3, 0.1, 0.0)
    expected = differences(sigmas).double().numpy()
    for layer in layers:
        expected = authors_forward(layer, expected)
    assert experts.gains(sigmas)[0, 0].detach().numpy() == pytest.approx(expected[:, 0], abs=1e-6)


def test_converted_tensors_can_be_saved() -> None:
    layer = authors_layer(3, 2, 0)
    layer["grid"] = layer["grid"].T.contiguous().T
    converted = convert_layer(layer)
    assert {name: tuple(tensor.shape) for name, tensor in converted.items()} == {
        "grid": (3, 12), "coef": (3, 2, 8), "scale_base": (3, 2), "scale_sp": (3, 2),
    }  # fmt: skip
    assert all(tensor.is_contiguous() for tensor in converted.values())


def test_without_pykan_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kan", None)
    with pytest.raises(ConfigError, match=r'need pykan .*pip install "lesa-framework\[kan\]"$'):
        Experts(ExpertShape(4, (2,), (3,)), 0)


def test_ten_numbers_an_edge_are_learnt_besides_taps_and_biases() -> None:
    experts = Experts(ExpertShape(4, (2, 3), (3,), branches=2), 0)
    edges = 4 * (5 * 3 + 3)
    assert sum(parameter.numel() for parameter in experts.trainable()) == 10 * edges + 2 * 2 * 3 + 2 * 2


def test_experts_start_apart_and_on_the_slope_from_the_oldest_feature() -> None:
    experts = Experts(ExpertShape(4, (1, 2, 3), (3,)), 0)
    assert experts.taps[0].tolist() == [[0, 0, 0], [1, -1, 0], [0.5, 0, -0.5]]
    assert experts.mask[0].tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert not experts.bias.any()
    gains = experts.gains((1.0, 0.7, 0.5, 0.2, 0.0))[0]
    assert gains.shape == (3, 4)
    assert not torch.allclose(gains[0], gains[1])
    again = Experts(ExpertShape(4, (1, 2, 3), (3,)), 1).gains((1.0, 0.7, 0.5, 0.2, 0.0))[0]
    assert torch.allclose(again[0], gains[1])  # each has the next seed


def test_saved_weights_hold_no_tap_beyond_a_stages_history() -> None:
    experts = Experts(ExpertShape(4, (1, 3), (3,)), 0)
    with torch.no_grad():
        experts.taps.fill_(2.0)
        experts.bias.fill_(0.5)
    state = experts.compact_state()
    assert state["taps"].tolist() == [[[2, 0, 0], [2, 2, 2]]]
    assert not any(tensor.requires_grad for tensor in state.values())
    with torch.no_grad():
        for parameter in experts.trainable():
            parameter.zero_()
    assert state["taps"].any()  # copies
    experts.load_compact(state)
    assert torch.equal(experts.taps * experts.mask, state["taps"])
    assert torch.equal(experts.bias, state["bias"])
    assert experts.bias.all()
    again = experts.compact_state()
    assert {name: torch.equal(again[name], state[name]) for name in state} == dict.fromkeys(state, True)


def test_inputs_are_differences_to_every_level_of_the_grid() -> None:
    rows = differences((1.0, 0.75, 0.5, 0.0))
    expected = torch.tensor([[0, 0.25, 0.5, 1], [-0.25, 0, 0.25, 0.75], [-0.5, -0.25, 0, 0.5]])
    assert torch.allclose(rows, expected)


def test_default_shape_has_the_papers_parameters() -> None:
    experts = Experts(ExpertShape(num_steps=50), seed=0)
    assert len(experts.kans) == 3
    learnt = sum(parameter.numel() for parameter in experts.kans[0].parameters() if parameter.requires_grad)
    # 10 numbers an edge: 8 spline coefficients and 2 scales.
    assert learnt == 10 * (51 * 256 + 256 * 256 + 256) == 788_480


@pytest.mark.parametrize("factor", [1.0, 0.25, 0.0])
def test_restrained_gains_can_still_be_learnt(factor: float) -> None:
    sigmas = (1.0, 0.7, 0.5, 0.2, 0.0)
    experts = Experts(ExpertShape(num_steps=4, stage_history=(2, 3), hidden=(5,)), seed=0)
    before = experts.gains(sigmas)
    experts.multiply_gains(factor)
    after = experts.gains(sigmas)
    assert torch.allclose(after, factor * before, atol=1e-6)
    after.sum().backward()
    assert all(any(part.grad.any() for part in kan.parameters() if part.grad is not None) for kan in experts.kans)


def test_building_leaves_the_random_state() -> None:
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - pykan seeds the global one
    before = torch.get_rng_state()
    others = random.random(), np.random.random()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    Experts(ExpertShape(num_steps=4, stage_history=(2,), hidden=(3,)), seed=1).gains((1.0, 0.7, 0.5, 0.2, 0.0))
    assert torch.equal(before, torch.get_rng_state())
    assert (random.random(), np.random.random()) == others  # noqa: NPY002


def test_the_gpus_whose_generators_are_put_back_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, forked = [], torch.random.fork_rng

    def fork(devices: Any = None) -> Any:
        asked.append(devices)
        return forked(devices=[])

    monkeypatch.setattr(torch.random, "fork_rng", fork)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    new_kan(ExpertShape(4, (2,), (3,)), seed=0)
    assert asked == [range(2)], "without them torch warns on a machine with several"


def test_pykan_leaves_no_folder(tmp_path: Path) -> None:
    code = "from lesa_kan.experts import *; Experts(ExpertShape(4, (2,), (3,)), 0).gains((1., .7, .5, .2, 0.))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert not list(tmp_path.iterdir())


def test_untrained_experts_start_near_reuse() -> None:
    experts = Experts(ExpertShape(num_steps=4, stage_history=(2, 3), hidden=(8, 8)), seed=0)
    assert experts.gains((1.0, 0.7, 0.5, 0.2, 0.0)).abs().max() < 0.5
    assert torch.allclose(experts.taps.sum(-1), torch.zeros(1, 2), atol=1e-6)


def test_one_seed_gives_the_same_splines_to_the_last_bit_whatever_was_in_the_memory():
    def start() -> bytes:
        # What torch's least squares would take for pivots.
        for size in range(1, 40):
            torch.full((size,), size % 3, dtype=torch.int32)
        kan = new_kan(ExpertShape(6, (2,), (3,)), seed=0)
        return b"".join(parameter.detach().numpy().tobytes() for parameter in kan.parameters())

    assert not torch.are_deterministic_algorithms_enabled()
    assert len({start() for _ in range(20)}) == 1
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("before", [(False, False), (True, False), (True, True)])
def test_splines_are_made_without_uninitialised_memory_and_the_setting_is_put_back(before: tuple[bool, bool]) -> None:
    def now() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    is_on, warn_only = before
    torch.use_deterministic_algorithms(is_on, warn_only=warn_only)
    try:
        with _no_uninitialised_memory():
            assert now() == (True, True)
        assert now() == before
    finally:
        torch.use_deterministic_algorithms(False)
