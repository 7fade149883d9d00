"""The contract of metrics, as a check."""

from __future__ import annotations

import math

import torch

from lesa_framework.interfaces.metric import Metric
from lesa_framework.types import Samples

_PROMPTS = ("a red ring", "", "a blue square above a green star")


def check_metric(metric: Metric, *, size: tuple[int, int] = (64, 48), device: str = "cpu") -> None:
    """Check a metric.

    Checked with pictures and with videos: it returns a number or None for each; the same for the same samples; the
    same for a sample alone as in a batch; and it does not write to its arguments.

    Args:
        metric: The metric under test.
        size: Height and width of the pictures.
        device: Where it runs.

    Raises:
        AssertionError: The metric breaks the contract; the message says where.
        MetricUnavailableError: It cannot be loaded here.
    """
    loaded = metric.load(device)
    random = torch.Generator().manual_seed(0)
    for what, frames in (("pictures", ()), ("videos", (2,))):
        references = _samples((len(_PROMPTS), *frames, 3, *size), random)
        samples = Samples(
            (references.images + 0.2 * torch.randn(references.images.shape, generator=random)).clamp(0, 1),
            references.latents + 0.2 * torch.randn(references.latents.shape, generator=random),
        )
        before = [_part(each, slice(None)) for each in (samples, references)]
        scores = loaded.measure(samples, references, _PROMPTS)
        at = f"{metric.name}, {what}"
        _check_scores(at, scores)
        for copy, given, name in zip(before, (samples, references), ("samples", "references"), strict=True):
            assert torch.equal(copy.images, given.images), f"{at}: it wrote to the images of the {name}"
            assert torch.equal(copy.latents, given.latents), f"{at}: it wrote to the latents of the {name}"
        repeated = loaded.measure(samples, references, _PROMPTS)
        assert _same(repeated, scores), f"{at}: for the same samples it returned {repeated} after {scores}"
        alone = [
            score
            for row, prompt in enumerate(_PROMPTS)
            for score in loaded.measure(
                _part(samples, slice(row, row + 1)), _part(references, slice(row, row + 1)), [prompt]
            )
        ]
        assert _same(alone, scores), f"{at}: alone the scores are {alone}, in a batch {scores}"


def _samples(shape: tuple[int, ...], random: torch.Generator) -> Samples:
    return Samples(torch.rand(shape, generator=random), torch.randn((shape[0], 16), generator=random))


def _part(samples: Samples, rows: slice) -> Samples:
    return Samples(samples.images[rows].clone(), samples.latents[rows].clone())


def _same(left: list[float | None], right: list[float | None]) -> bool:
    return len(left) == len(right) and all(
        (a is None) == (b is None) if a is None or b is None else math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4)
        for a, b in zip(left, right, strict=True)
    )


def _check_scores(at: str, scores: object) -> None:
    assert isinstance(scores, list), f"{at}: measure returned {type(scores).__name__}, not a list"
    assert len(scores) == len(_PROMPTS), f"{at}: {len(scores)} scores for {len(_PROMPTS)} samples"
    assert all(score is None or isinstance(score, float) for score in scores), f"{at}: {scores!r} are not floats"
