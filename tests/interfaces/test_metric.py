from __future__ import annotations

import pytest
import torch

from lesa_framework import LoadedMetric, Metric, PluginContractError
from tests.measured import measured


class Red(LoadedMetric):
    """How much redder than the reference; nothing to say about pictures without a prompt."""

    pictures_at_once = 2

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def score(self, pictures, references, prompts):
        self.calls.append(list(prompts))
        excess = pictures[:, 0].mean((1, 2)) - references[:, 0].mean((1, 2))
        return [value if prompt else None for value, prompt in zip(excess.tolist(), prompts, strict=True)]


def test_pictures_are_scored_a_few_at_once():
    images = torch.linspace(0, 1, 3)[:, None, None, None].expand(3, 3, 4, 5)
    metric = Red()
    assert measured(metric, images, torch.zeros_like(images), ["a", "b", "c"]) == [0.0, 0.5, 1.0]
    assert metric.calls == [["a", "b"], ["c"]]


def test_a_metric_that_asks_for_no_number_gets_sixteen_pictures_at_once():
    class Counts(LoadedMetric):
        def score(self, pictures, references, prompts):
            return [float(len(pictures))] * len(prompts)

    images = torch.ones(33, 3, 2, 2)
    assert measured(Counts(), images, images, ["a"] * 33) == [16.0] * 32 + [1.0]


def test_of_a_video_the_mean_over_its_frames():
    frames = torch.tensor([[0.0, 0.25, 0.5], [0.5, 1.0, 0.75]])
    videos = frames[:, :, None, None, None].expand(2, 3, 3, 4, 5)
    metric = Red()
    assert measured(metric, videos, torch.zeros_like(videos), ["a", "b"]) == [0.25, 0.75]
    assert metric.calls == [["a", "a"], ["a", "b"], ["b", "b"]]


def test_nothing_to_say_about_some():
    images = torch.ones(2, 3, 4, 4)
    assert measured(Red(), images, images, ["", "b"]) == [None, 0.0]
    assert measured(Red(), images[:, None], images[:, None], ["", "b"]) == [None, 0.0]


def test_a_frame_without_a_number_does_not_count():
    class Second(LoadedMetric):
        def score(self, pictures, references, prompts):
            return [None, 1.0, 3.0]

    video = torch.ones(1, 3, 3, 4, 4)
    assert measured(Second(), video, video, ["a"]) == [2.0]


def test_no_gradient_is_recorded():
    class Records(LoadedMetric):
        def score(self, pictures, references, prompts):
            assert not (pictures * 2).requires_grad
            return [0.0] * len(prompts)

    images = torch.ones(1, 3, 4, 4, requires_grad=True)
    assert measured(Records(), images, images, ["a"]) == [0.0]


def test_no_images_no_numbers():
    images = torch.ones(0, 3, 4, 4)
    assert measured(Red(), images, images, []) == []


@pytest.mark.parametrize(
    ("images", "references", "prompts", "message"),
    [
        (torch.ones(1, 3, 4), torch.ones(1, 3, 4), ["a"], r"images: torch.float32 of shape \(1, 3, 4\)"),
        (torch.ones(1, 4, 4, 3), torch.ones(1, 4, 4, 3), ["a"], r"Valid: floats in \[0, 1\] of shape"),
        (torch.ones(1, 3, 4, 4, dtype=torch.uint8), torch.ones(1, 3, 4, 4), ["a"], "images: torch.uint8"),
        (torch.ones(1, 3, 4, 4), torch.ones(1, 3, 8, 8), ["a"], r"references: shape \(1, 3, 8, 8\), but the images"),
        (torch.ones(1, 3, 4, 4), torch.ones(1, 3, 4, 4), ["a", "b"], "prompts: 2 for 1 images"),
    ],
)
def test_what_does_not_fit_is_refused(images, references, prompts, message):
    with pytest.raises(PluginContractError, match=message):
        measured(Red(), images, references, prompts)


def test_too_few_numbers_are_refused():
    class Short(LoadedMetric):
        def score(self, pictures, references, prompts):
            return [1.0]

    images = torch.ones(2, 3, 4, 4)
    with pytest.raises(PluginContractError, match=r"Short\.score: returned 1 numbers for 2 pictures"):
        measured(Short(), images, images, ["a", "b"])


def test_a_metric_that_defines_nothing_is_refused():
    images = torch.ones(1, 3, 4, 4)
    with pytest.raises(PluginContractError, match="LoadedMetric: defines neither `score` nor `measure`"):
        measured(LoadedMetric(), images, images, ["a"])


def test_a_metric_is_shown_with_three_digits_unless_it_says_otherwise():
    class Brightness(Metric):
        name = heading = summary = "brightness"
        higher_is_better = True

        def load(self, device):
            return Red()

    assert Brightness().digits == 3
