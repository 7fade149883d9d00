"""torchmetrics' own LPIPS with its linear weights; torchvision is a stand-in: AlexNet's layers, random weights."""

from __future__ import annotations

import math
import sys
import types
from importlib.abc import MetaPathFinder

import pytest
import torch
import torchmetrics.functional.image.lpips as functional
import torchmetrics.image.lpip as modular
from torch import nn

from lesa_framework import MetricUnavailableError
from lesa_framework.testing import check_metric
from lesa_metrics.lpips import Lpips
from tests.measured import measured

FILE = "alexnet-0123abcd.pth"
URL = f"https://models.example/{FILE}"


def alexnet_layers():
    """The convolutions of AlexNet as torchvision has them."""
    return [
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
    ]


@pytest.fixture(scope="module")
def features():
    torch.manual_seed(0)
    return nn.Sequential(*alexnet_layers())


@pytest.fixture
def torchvision(features, monkeypatch, tmp_path):
    """A module in torchvision's place; its weights count as cached."""

    def alexnet(*, weights):
        assert weights is models.AlexNet_Weights.DEFAULT
        copy = nn.Sequential(*alexnet_layers())
        copy.load_state_dict(features.state_dict())
        return types.SimpleNamespace(features=copy)

    models = types.SimpleNamespace(
        alexnet=alexnet, AlexNet_Weights=types.SimpleNamespace(DEFAULT=types.SimpleNamespace(url=URL))
    )
    module = types.ModuleType("torchvision")
    module.models = models
    monkeypatch.setitem(sys.modules, "torchvision", module)
    for part in (functional, modular):
        monkeypatch.setattr(part, "_TORCHVISION_AVAILABLE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / FILE).touch()
    return module


@torch.no_grad()
def by_hand(features, images, references):
    """Equation 1 of the paper: squared differences of unit features, weighted by channel, averaged, summed."""
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    left, right = ((2 * pictures - 1 - shift) / scale for pictures in (images, references))
    file = f"{functional.__file__.rpartition('/')[0]}/lpips_models/alex.pth"
    weights = list(torch.load(file, map_location="cpu", weights_only=True).values())
    total = torch.zeros(len(images))
    for layer in features[:-1]:
        left, right = layer(left), layer(right)
        if isinstance(layer, nn.ReLU):
            a, b = (part / (part.square().sum(1, keepdim=True) + 1e-8).sqrt() for part in (left, right))
            total += ((a - b).square() * weights.pop(0)).sum(1).mean((1, 2))
    assert not weights
    return total.tolist()


def pairs(*shape):
    random = torch.Generator().manual_seed(2)
    references = torch.rand(shape, generator=random)
    return (references + 0.3 * torch.randn(shape, generator=random)).clamp(0, 1), references


@pytest.mark.parametrize("count", [1, 5])
def test_it_is_the_papers_distance(torchvision, features, count):
    images, references = pairs(count, 3, 64, 48)
    wanted = by_hand(features, images, references)
    assert min(wanted) > 1e-4
    assert measured(Lpips().load("cpu"), images, references, ["a"] * count) == pytest.approx(wanted, rel=1e-4)


def test_the_same_picture_has_no_distance(torchvision):
    images, _ = pairs(2, 3, 64, 64)
    assert measured(Lpips().load("cpu"), images, images, ["a", "b"]) == [0.0, 0.0]


def test_of_videos_the_mean_over_their_frames(torchvision):
    images, references = pairs(6, 3, 40, 40)
    metric = Lpips().load("cpu")
    each = measured(metric, images, references, ["a"] * 6)
    videos = (part.reshape(2, 3, 3, 40, 40) for part in (images, references))
    assert measured(metric, *videos, ["a", "b"]) == pytest.approx([sum(each[:3]) / 3, sum(each[3:]) / 3], rel=1e-4)


def test_it_keeps_the_contract(torchvision):
    check_metric(Lpips())


def test_it_does_not_remember_pictures(torchvision, monkeypatch):
    held = []
    made = modular.LearnedPerceptualImagePatchSimilarity
    monkeypatch.setattr(
        modular, "LearnedPerceptualImagePatchSimilarity", lambda **options: held.append(made(**options)) or held[0]
    )
    images, references = pairs(3, 3, 40, 40)
    measured(Lpips().load("cpu"), images, references, ["a"] * 3)
    assert held[0].all_scores == []
    assert not any(parameter.requires_grad for parameter in held[0].parameters())


def test_values_a_little_out_of_range_are_cut(torchvision):
    images, references = pairs(1, 3, 40, 40)
    metric = Lpips().load("cpu")
    assert measured(metric, images * 1.01 - 0.005, references, ["a"])[0] == pytest.approx(
        measured(metric, (images * 1.01 - 0.005).clamp(0, 1), references, ["a"])[0]
    )


def test_a_picture_that_is_not_finite_has_a_distance_that_is_not(torchvision):
    images, references = pairs(3, 3, 40, 40)
    metric = Lpips().load("cpu")
    whole = measured(metric, images[2:], references[2:], ["c"])
    images[0, 0, 0, 0], references[1, 0, 0, 0] = torch.nan, torch.inf
    first, second, third = measured(metric, images, references, ["a", "b", "c"])
    assert math.isnan(first)
    assert math.isnan(second)
    assert [third] == pytest.approx(whole, rel=1e-4)


def test_tiny_pictures_have_no_lpips(torchvision):
    metric = Lpips().load("cpu")
    images, references = pairs(2, 3, 64, 30)
    assert measured(metric, images, references, ["a", "b"]) == [None, None]
    images, references = pairs(2, 3, 64, 31)
    assert None not in measured(metric, images, references, ["a", "b"])


def test_torchmetrics_is_not_installed(monkeypatch):
    class Blocker(MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name == "torchmetrics":
                raise ModuleNotFoundError("No module named 'torchmetrics'", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchmetrics"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Blocker(), *sys.meta_path])
    with pytest.raises(MetricUnavailableError) as caught:
        Lpips().load("cpu")
    assert str(caught.value) == 'lpips: torchmetrics is not installed; pip install "lesa-framework[metrics]"'


def test_torchvision_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MetricUnavailableError) as caught:
        Lpips().load("cpu")
    assert str(caught.value) == "lpips: torchvision is not installed; pip install torchvision"


def test_a_torchvision_for_another_torch(monkeypatch, tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MetricUnavailableError) as caught:
        Lpips().load("cpu")
    assert str(caught.value) == (
        "lpips: torchvision cannot be imported (RuntimeError: operator torchvision::nms does not exist); "
        "pip install torchvision"
    )


def test_weights_that_are_not_there_are_not_fetched(torchvision, tmp_path, calls_home):
    file = tmp_path / "hub" / "checkpoints" / FILE
    file.unlink()
    with pytest.raises(MetricUnavailableError) as caught:
        Lpips().load("cpu")
    assert str(caught.value) == (
        f"lpips: AlexNet's weights ({FILE}) are not in the local torch hub cache; "
        f"fetch them with `curl --create-dirs -o {file} {URL}`"
    )
    assert calls_home == []
