from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lesa_framework import MetricUnavailableError
from lesa_framework.testing import check_metric
from lesa_reference import caption_network
from lesa_reference.caption_score import CaptionScore
from tests.measured import measured


def test_it_keeps_the_contract() -> None:
    check_metric(CaptionScore())


def test_of_a_video_the_middle_frame_counts() -> None:
    random = torch.Generator().manual_seed(0)
    video = torch.rand(1, 5, 3, 64, 64, generator=random)
    metric = CaptionScore().load("cpu")
    whole = measured(metric, video, video, ["a red ring"])
    other = video.clone()
    other[:, [0, 1, 3, 4]] = 0
    assert measured(metric, other, video, ["a red ring"]) == whole
    other[:, 2] = 0
    assert measured(metric, other, video, ["a red ring"]) != whole


def test_weights_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load = caption_network.load_network
    monkeypatch.setattr(caption_network, "load_network", lambda _: load(tmp_path / "none.safetensors"))
    with pytest.raises(MetricUnavailableError, match="caption_score: a bundled network cannot be read"):
        CaptionScore().load("cpu")
