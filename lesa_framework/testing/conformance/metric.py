"""What a metric must keep to."""

from __future__ import annotations

import math

import torch

from lesa_framework.interfaces.metric import Metric

_PROMPTS = ("a red ring", "", "a blue square above a green star")


def check_metric(metric: Metric, *, size: tuple[int, int] = (64, 48), device: str = "cpu") -> None:
    """Check a metric.

    Checked, with pictures and with videos: there is a number, or None, for each; asked again, it says the same; it
    judges each alone, whatever else is in the batch; it does not write to what it is given.

    Args:
        metric: The metric under test.
        size: Height and width of the pictures that it is asked about.
        device: Where it shall run.

    Raises:
        AssertionError: The metric breaks the contract; the message says where.
        MetricUnavailableError: It cannot be loaded here.
    """
    loaded = metric.load(device)
    random = torch.Generator().manual_seed(0)
    for what, frames in (("pictures", ()), ("videos", (2,))):
        shape = (len(_PROMPTS), *frames, 3, *size)
        references = torch.rand(shape, generator=random)
        images = (references + 0.2 * torch.randn(shape, generator=random)).clamp(0, 1)
        given = images.clone(), references.clone()
        scores = loaded.judge(images, references, _PROMPTS)
        at = f"{metric.name}, {what}"
        assert isinstance(scores, list), f"{at}: judge returned {type(scores).__name__}, not a list"
        assert len(scores) == len(_PROMPTS), f"{at}: {len(scores)} scores for {len(_PROMPTS)}"
        assert all(score is None or isinstance(score, float) for score in scores), f"{at}: {scores!r} are not floats"
        for before, after, name in zip(given, (images, references), ("images", "references"), strict=True):
            assert torch.equal(before, after), f"{at}: it wrote to the {name}"
        again = loaded.judge(images, references, _PROMPTS)
        assert _same(again, scores), f"{at}: asked again, it said {again}, not {scores}"
        alone = [
            score
            for row, prompt in enumerate(_PROMPTS)
            for score in loaded.judge(images[row : row + 1], references[row : row + 1], [prompt])
        ]
        assert _same(alone, scores), f"{at}: alone they are {alone}, in a batch {scores}"


def _same(left: list[float | None], right: list[float | None]) -> bool:
    return len(left) == len(right) and all(
        (a is None) == (b is None) if a is None or b is None else math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4)
        for a, b in zip(left, right, strict=True)
    )
