"""Our side of ImageReward; the package is a stand-in that is called as its release 1.5 is."""

from __future__ import annotations

import math
import sys
import types

import huggingface_hub
import pytest
import torch
import transformers
from PIL import Image

from lesa_framework import MetricUnavailableError
from lesa_framework.testing import check_metric
from lesa_metrics.image_reward import ImageReward
from tests.measured import measured


class Model:
    """Likes red pictures, and long prompts a little."""

    def score(self, prompt, image):
        assert isinstance(prompt, str)
        assert isinstance(image, Image.Image)
        assert not torch.is_grad_enabled()
        assert image.mode == "RGB"
        red, green, _ = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        return (red - green) / 255 + len(prompt) / 1000


class Package(types.ModuleType):
    """`ImageReward`, as far as scoring goes."""

    def __init__(self):
        super().__init__("ImageReward")
        self.loaded = []

    def load(self, name="ImageReward-v1.0", device="cpu", download_root=None, med_config=None):
        print("load checkpoint from", name)
        tokenizer = transformers.BertTokenizer.from_pretrained("bert-base-uncased")
        self.loaded.append((name, device, med_config, tokenizer.convert_tokens_to_ids("red")))
        return Model()


@pytest.fixture
def package(monkeypatch):
    module = Package()
    monkeypatch.setitem(sys.modules, "ImageReward", module)
    return module


@pytest.fixture
def folder(tmp_path):
    """Where the package keeps its weights."""
    for name in ("ImageReward.pt", "med_config.json"):
        (tmp_path / "reward").mkdir(exist_ok=True)
        (tmp_path / "reward" / name).touch()
    return tmp_path / "reward"


@pytest.fixture
def tokenizer(monkeypatch, tmp_path):
    """A hub cache with a tiny `bert-base-uncased`; its folder."""
    repository = tmp_path / "hub" / "models--bert-base-uncased"
    snapshot = repository / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "ring"]
    (snapshot / "vocab.txt").write_text("\n".join(words))
    (snapshot / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return snapshot


@pytest.fixture
def metric(package, folder, tokenizer):
    return ImageReward(folder)


def plain(*colours):
    return torch.tensor(colours)[:, :, None, None].expand(-1, -1, 8, 6)


def test_each_picture_is_scored_with_its_prompt(metric):
    pictures = plain([1.0, 0.0, 0.0], [0.0, 1.0, 0.5], [0.6, 0.2, 0.0])
    scores = measured(metric.load("cpu"), pictures, pictures, ["a", "bc", "def"])
    assert scores == pytest.approx([1.001, -0.998, 0.403])


def test_pictures_are_rounded_not_cut_to_8_bits(metric):
    pictures = plain([100.6 / 255, 0.0, 0.0], [1.2, -0.3, 0.0])
    assert measured(metric.load("cpu"), pictures, pictures, ["a", "a"]) == pytest.approx([101 / 255 + 0.001, 1.001])


def test_height_and_width_keep_their_places(package, metric):
    seen = []
    loaded = metric.load("cpu")
    loaded._model.score = lambda prompt, image: seen.append((image.size, image.getpixel((5, 0)))) or 0.0
    picture = torch.zeros(1, 3, 8, 6)
    picture[0, 2, 0, 5] = 1.0  # blue, at the right end of the first row
    measured(loaded, picture, picture, ["a"])
    assert seen == [((6, 8), (0, 0, 255))]


def test_of_videos_the_mean_over_their_frames(metric):
    frames = plain([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.0, 0.0], [0.2, 0.0, 0.0])
    videos = frames.reshape(2, 2, 3, 8, 6)
    assert measured(metric.load("cpu"), videos, videos, ["a", "a"]) == pytest.approx([0.001, 0.401])


def test_blank_prompts_and_broken_pictures(metric):
    pictures = plain([1.0, 0.0, 0.0], [math.nan, 0.0, 0.0])
    loaded = metric.load("cpu")
    assert measured(loaded, pictures, pictures, [" ", ""]) == [None, None]
    whole, broken = measured(loaded, pictures, pictures, ["a", "a"])
    assert whole == pytest.approx(1.001)
    assert math.isnan(broken)


def test_it_keeps_the_contract(metric):
    check_metric(metric)


def test_everything_comes_from_this_machine(package, metric, folder, calls_home, capsys):
    metric.load("cpu")
    ((weights, device, settings, red),) = package.loaded
    assert (weights, device, settings) == (str(folder / "ImageReward.pt"), "cpu", str(folder / "med_config.json"))
    assert red == 6  # of the cached tokenizer's words
    assert calls_home == []
    assert capsys.readouterr().out == ""  # standard output is for results
    assert "from_pretrained" not in vars(transformers.BertTokenizer)


def test_the_package_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ImageReward", None)
    with pytest.raises(MetricUnavailableError) as caught:
        ImageReward().load("cpu")
    assert str(caught.value) == (
        "image_reward: ImageReward is not installed; "
        "pip install image-reward (its release 1.5 needs transformers below 4.56)"
    )


def test_a_package_that_does_not_fit_transformers(monkeypatch, tmp_path):
    (tmp_path / "ImageReward.py").write_text("from transformers.modeling_utils import find_pruneable_heads_and_indices")
    monkeypatch.delitem(sys.modules, "ImageReward", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        MetricUnavailableError,
        match=r"image_reward: ImageReward cannot be imported \(ImportError: cannot import name 'find_pruneable_heads",
    ):
        ImageReward().load("cpu")


def test_weights_that_are_missing(package, folder):
    (folder / "med_config.json").unlink()
    with pytest.raises(MetricUnavailableError) as caught:
        ImageReward(folder).load("cpu")
    assert str(caught.value) == (
        f"image_reward: med_config.json is not in {folder}; fetch it with "
        f"`hf download THUDM/ImageReward ImageReward.pt med_config.json --local-dir {folder}`"
    )
    (folder / "ImageReward.pt").unlink()
    with pytest.raises(MetricUnavailableError, match=r"ImageReward.pt and med_config.json are not in .*; fetch them"):
        ImageReward(folder).load("cpu")
    assert package.loaded == []


def test_a_tokenizer_that_is_missing(package, folder, monkeypatch, tmp_path, calls_home):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MetricUnavailableError) as caught:
        ImageReward(folder).load("cpu")
    assert str(caught.value) == (
        "image_reward: the tokenizer bert-base-uncased is not in the local hub cache; fetch it with "
        "`hf download bert-base-uncased vocab.txt tokenizer.json tokenizer_config.json config.json`"
    )
    assert calls_home == []


def test_a_package_that_fails_to_load(package, metric, monkeypatch):
    def load(name, device, med_config):
        raise AttributeError("'BertConfig' object has no attribute 'old'")

    monkeypatch.setattr(package, "load", load)
    with pytest.raises(MetricUnavailableError, match=r"cannot be loaded \(AttributeError: 'BertConfig' object has no"):
        metric.load("cpu")
    assert "from_pretrained" not in vars(transformers.BertTokenizer)


def test_where_the_package_keeps_its_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ImageReward().folder == tmp_path / ".cache" / "ImageReward"
