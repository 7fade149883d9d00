from __future__ import annotations

import math
import sys

import pytest
import torch

from lesa_framework import Metric, MetricUnavailableError
from lesa_framework.testing import check_metric
from lesa_metrics.closeness import Psnr, RelativeL2, Ssim
from tests.measured import measured

PSNR, SSIM, REL_L2 = (metric.load("cpu") for metric in (Psnr(), Ssim(), RelativeL2()))


@pytest.mark.parametrize("metric", [Psnr(), Ssim(), RelativeL2()])
def test_they_keep_to_the_contract(metric: Metric) -> None:
    check_metric(metric)


def test_psnr_of_a_known_error() -> None:
    reference = torch.full((2, 3, 8, 8), 0.5)
    image = reference.clone()
    image[0] += 0.1
    image[1] += 0.001
    assert measured(PSNR, image, reference) == pytest.approx([20.0, 60.0], abs=1e-3)


def test_identical_images_are_infinitely_close() -> None:
    image = torch.rand(1, 3, 8, 8)
    assert measured(PSNR, image, image) == [math.inf]
    assert measured(SSIM, image, image) == pytest.approx([1.0])
    assert measured(REL_L2, image, image) == [0.0]


def test_differences_below_a_step_of_8_bits_count() -> None:
    reference = torch.full((1, 3, 8, 8), 0.5)
    assert measured(PSNR, reference + 1e-4, reference)[0] == pytest.approx(80.0, abs=0.1)


def test_psnr_does_not_wrap_as_unsigned_bytes_would() -> None:
    darker, brighter = torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 1.0)
    assert measured(PSNR, darker, brighter) == measured(PSNR, brighter, darker) == pytest.approx([0.0])


def test_ssim_falls_with_noise_and_takes_videos() -> None:
    clean = torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    noisy = (clean + 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    slightly = (clean + 0.03 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    assert all(
        a < b < 1
        for a, b in zip(
            measured(SSIM, noisy, clean),
            measured(SSIM, slightly, clean),
            strict=True,
        )
    )


def test_ssim_of_tiny_images() -> None:
    image = torch.rand(1, 3, 4, 4)
    assert measured(SSIM, image, image) == pytest.approx([1.0])


def test_rel_l2() -> None:
    reference = torch.ones(2, 4, 4)
    assert measured(REL_L2, torch.stack([reference[0] * 1.5, reference[1]]), reference) == pytest.approx([0.5, 0.0])


def test_psnr_of_a_video_is_over_the_whole_clip_and_ssim_the_mean_over_its_frames() -> None:
    reference = torch.full((1, 2, 3, 8, 8), 0.5)
    video = reference.clone()
    video[0, 1] += 0.1
    assert measured(PSNR, video, reference) == pytest.approx([10 * math.log10(1 / 0.005)], abs=1e-4)
    (whole,) = measured(SSIM, video, reference)
    first, second = measured(SSIM, video[0], reference[0])
    assert (first, whole) == (1.0, (first + second) / 2)


def test_without_scikit_image_there_is_no_ssim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "skimage.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MetricUnavailableError, match=r"ssim: skimage.* pip install .*diffusers"):
        Ssim().load("cpu")
