"""The suite of metrics must find what is wrong: each of these breaks the contract in one way."""

from __future__ import annotations

import pytest

from lesa_framework import LoadedMetric, Metric
from lesa_framework.testing import check_metric


class Darkness(LoadedMetric):
    def score(self, pictures, references, prompts):
        return [
            float(1 - picture.mean()) if prompt else None for picture, prompt in zip(pictures, prompts, strict=True)
        ]


class Tired(Darkness):
    def __init__(self):
        self.calls = 0

    def score(self, pictures, references, prompts):
        self.calls += 1
        return [float(self.calls)] * len(prompts)


class Ranks(Darkness):
    def score(self, pictures, references, prompts):
        return [float(rank) for rank in pictures.mean((1, 2, 3)).argsort().argsort()]


class Brightens(Darkness):
    def score(self, pictures, references, prompts):
        scores = super().score(pictures, references, prompts)
        pictures += 0.1
        return scores


class Tensors(Darkness):
    def measure(self, samples, references, prompts):
        return list(samples.images.flatten(1).mean(1))


class Shortens(Darkness):
    def measure(self, samples, references, prompts):
        return super().measure(samples, references, prompts)[:1]


class NoList(Darkness):
    def measure(self, samples, references, prompts):
        return samples.images.flatten(1).mean(1)


class MovesLatents(Darkness):
    def measure(self, samples, references, prompts):
        references.latents.zero_()
        return super().measure(samples, references, prompts)


def metric_of(made: type[LoadedMetric]) -> Metric:
    class Made(Metric):
        name = "made"
        heading = "made"
        higher_is_better = True
        summary = "For a test."

        def load(self, device):
            return made()

    return Made()


def test_a_good_metric_passes():
    check_metric(metric_of(Darkness))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Tired, "made, pictures: for the same samples it returned"),
        (Ranks, "made, pictures: alone the scores are"),
        (Brightens, "made, pictures: it wrote to the images of the samples"),
        (MovesLatents, "made, pictures: it wrote to the latents of the references"),
        (Tensors, "made, pictures: .* are not floats"),
        (Shortens, "made, pictures: 1 scores for 3"),
        (NoList, "made, pictures: measure returned Tensor, not a list"),
    ],
)
def test_metrics_that_break_the_contract(made, message):
    with pytest.raises(AssertionError, match=message):
        check_metric(metric_of(made))
