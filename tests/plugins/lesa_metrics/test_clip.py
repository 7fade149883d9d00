from __future__ import annotations

import json
import math
import shutil
import sys

import huggingface_hub
import pytest
import torch
from PIL import Image
from torch.nn.functional import cosine_similarity
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from lesa_framework import MetricUnavailableError
from lesa_framework.testing import check_metric
from lesa_metrics.clip import ClipScore
from lesa_metrics.pixels import Preparation
from tests.measured import measured

PROMPTS = ["a red ring", "two blue squares", "x", "a cyan star, and much more that is not read any longer", *"abcd"]


@pytest.fixture(scope="module")
def metric(clip_folder):
    return ClipScore(clip_folder).load("cpu")


def eight_bits(*shape):
    """Random pictures that lose nothing when they become 8-bit ones, nor by clipping when they are resized."""
    random = torch.Generator().manual_seed(1)
    coarse = torch.rand(shape[0], 3, 5, 4, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear") * 0.6 + 0.2
    return (smooth * 255).round() / 255


def pillows(pictures):
    return [
        Image.fromarray((picture * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())
        for picture in pictures
    ]


@torch.no_grad()
def by_hand(folder, pixels, prompts):
    """The definition, by another way: the two towers one by one, each prompt alone, a cosine."""
    model = CLIPModel.from_pretrained(folder)
    seen = model.visual_projection(model.vision_model(pixels).pooler_output)
    scores = []
    for row, prompt in enumerate(prompts):
        tokens = CLIPTokenizer.from_pretrained(folder)(prompt)["input_ids"]
        tokens = tokens if len(tokens) <= 24 else [*tokens[:23], tokens[-1]]
        read = model.text_projection(model.text_model(torch.tensor([tokens])).pooler_output)
        scores.append(max(0.0, 100 * float(cosine_similarity(seen[row : row + 1], read))))
    return scores


def settings_of(folder):
    return json.loads((folder / "preprocessor_config.json").read_text())


def test_it_agrees_with_the_towers_one_by_one(clip_folder, metric):
    pictures = eight_bits(8, 48, 80)
    wanted = by_hand(clip_folder, Preparation.of(settings_of(clip_folder))(pictures), PROMPTS)
    assert len(set(wanted)) > 4
    assert measured(metric, pictures, pictures, PROMPTS) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (90, 36), (17, 17), (36, 36)])
def test_pictures_are_prepared_as_transformers_does(clip_folder, metric, size):
    pictures = eight_bits(8, *size)
    processed = CLIPImageProcessorPil.from_pretrained(clip_folder)(pillows(pictures), return_tensors="pt")
    wanted = processed["pixel_values"]
    prepared = Preparation.of(settings_of(clip_folder))(pictures)
    assert prepared.shape == wanted.shape
    # Pillow rounds to 8 bits after each direction, and the second may widen the first's error a little.
    assert ((prepared - wanted).abs().amax((0, 2, 3)) * torch.tensor([0.3, 0.2, 0.25])).max() < 1.2 / 255
    scores = measured(metric, pictures, pictures, PROMPTS)
    assert scores == pytest.approx(by_hand(clip_folder, wanted, PROMPTS), abs=0.5)


def test_of_videos_the_mean_over_their_frames(metric):
    frames = eight_bits(6, 40, 40)
    each = measured(metric, frames, frames, ["a", "a", "a", "b", "b", "b"])
    videos = frames.reshape(2, 3, 3, 40, 40)
    means = [sum(each[:3]) / 3, sum(each[3:]) / 3]
    assert measured(metric, videos, videos, ["a", "b"]) == pytest.approx(means, abs=1e-4)


def test_a_blank_prompt_has_no_score(metric):
    pictures = eight_bits(2, 40, 40)
    scores = measured(metric, pictures, pictures, [" ", "a"])
    assert scores[0] is None
    assert scores[1] is not None


def test_opposite_directions_are_no_less_than_unrelated(metric):
    pictures = eight_bits(4, 40, 40)
    words = [[chr(97 + row) * 3 for row in range(start, start + 4)] for start in range(0, 20, 4)]
    scores = [score for prompts in words for score in measured(metric, pictures, pictures, prompts)]
    assert min(scores) == 0
    assert max(scores) > 0


def test_a_picture_that_is_not_finite_has_a_score_that_is_not(metric):
    pictures = eight_bits(2, 40, 40)
    pictures[0, 0, 0, 0] = torch.nan
    broken, whole = measured(metric, pictures, pictures, ["aaa", "aaa"])
    assert math.isnan(broken)
    assert math.isfinite(whole)


def test_it_keeps_the_contract_without_a_request(clip_folder, calls_home):
    check_metric(ClipScore(clip_folder))
    assert calls_home == []


def test_the_default_model_is_described():
    metric = ClipScore()
    assert (metric.name, metric.model) == ("clip_score", "openai/clip-vit-base-patch16")
    assert metric.summary == "Agreement of picture and prompt, 0 to 100, by clip-vit-base-patch16."
    assert metric.heading == "CLIP score"


def test_another_model_has_a_name_and_a_heading_of_its_own():
    metric = ClipScore("mine/clip", name="mine")
    assert (metric.name, metric.heading) == ("mine", "mine")


def test_what_is_not_on_the_machine_is_not_fetched(calls_home):
    with pytest.raises(MetricUnavailableError) as caught:
        ClipScore("nobody/no-such-clip").load("cpu")
    assert str(caught.value) == (
        "clip_score: nobody/no-such-clip is not in the local hub cache; fetch it with `hf download nobody/no-such-clip`"
    )
    assert calls_home == []


def test_what_is_neither_a_folder_nor_on_the_hub(tmp_path, calls_home):
    with pytest.raises(MetricUnavailableError, match=r"clip_score: .*/nothing/here cannot be used: Repo id must"):
        ClipScore(tmp_path / "nothing" / "here").load("cpu")
    assert calls_home == []


def test_a_model_in_the_cache_is_found_without_a_request(clip_folder, tmp_path, monkeypatch, calls_home):
    repository = tmp_path / "models--somebody--clip"
    shutil.copytree(clip_folder, repository / "snapshots" / "c0ffee")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    check_metric(ClipScore("somebody/clip"))
    assert calls_home == []
    (repository / "snapshots" / "c0ffee" / "model.safetensors").unlink()
    with pytest.raises(MetricUnavailableError, match=r"cannot be used: .*fetch it with `hf download somebody/clip`$"):
        ClipScore("somebody/clip").load("cpu")


def test_transformers_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MetricUnavailableError) as caught:
        ClipScore().load("cpu")
    assert str(caught.value) == ('clip_score: transformers is not installed; pip install "lesa-framework[diffusers]"')


def test_it_needs_no_diffusers(clip_folder, monkeypatch):
    for name in ("diffusers", "diffusers.utils", "diffusers.utils.logging"):
        monkeypatch.setitem(sys.modules, name, None)
    assert ClipScore(clip_folder).load("cpu")


@pytest.fixture
def damaged(clip_folder, tmp_path):
    """A copy of the folder, without some files."""

    def make(*missing):
        folder = tmp_path / "clip"
        shutil.copytree(clip_folder, folder)
        for name in missing:
            (folder / name).unlink()
        return folder

    return make


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["vocab.json", "merges.txt"], r"clip cannot be used: its tokenizer's files are missing; give the folder of a"),
        (["preprocessor_config.json"], r"clip cannot be used: .*preprocessor_config\.json"),
        (["model.safetensors"], r"clip cannot be used: .*model\.safetensors"),
    ],
)
def test_a_folder_that_lacks_something(damaged, missing, message):
    with pytest.raises(MetricUnavailableError, match=message):
        ClipScore(damaged(*missing)).load("cpu")


def test_weights_that_are_no_clip(damaged):
    from safetensors.torch import load_file, save_file

    folder = damaged()
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(MetricUnavailableError, match=r"not a CLIP model's, visual_projection\.weight is missing; give"):
        ClipScore(folder).load("cpu")


@pytest.mark.parametrize(
    "settings",
    [
        {"do_center_crop": False},
        {"size": {"height": 224, "width": 224}},
        {"size": 200},
        {"resample": 0},
    ],
)
def test_a_processor_that_does_something_else(settings):
    with pytest.raises(ValueError, match="supported are resizing the shorter side"):
        Preparation.of(settings)


def test_a_processor_as_newer_files_write_it():
    newer = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 24}, "resample": 2}
    assert Preparation.of(newer) == Preparation(40, (32, 24), resample="bilinear")
    assert Preparation.of({}) == Preparation()
