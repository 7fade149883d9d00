from __future__ import annotations

import math

import pytest
import torch

from lesa_framework.measure import metrics


def test_psnr_of_a_known_error() -> None:
    reference = torch.full((2, 3, 8, 8), 0.5)
    image = reference.clone()
    image[0] += 0.1
    image[1] += 0.001
    assert metrics.psnr_db(image, reference) == pytest.approx([20.0, 60.0], abs=1e-3)


def test_identical_images_are_infinitely_close() -> None:
    image = torch.rand(1, 3, 8, 8)
    assert metrics.psnr_db(image, image) == [math.inf]
    assert metrics.ssim(image, image) == pytest.approx([1.0])
    assert metrics.rel_l2(image, image) == [0.0]


def test_differences_below_a_step_of_8_bits_count() -> None:
    reference = torch.full((1, 3, 8, 8), 0.5)
    assert metrics.psnr_db(reference + 1e-4, reference)[0] == pytest.approx(80.0, abs=0.1)


def test_psnr_does_not_wrap_as_unsigned_bytes_would() -> None:
    darker, brighter = torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 1.0)
    assert metrics.psnr_db(darker, brighter) == metrics.psnr_db(brighter, darker) == pytest.approx([0.0])


def test_ssim_falls_with_noise_and_takes_videos() -> None:
    clean = torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    noisy = (clean + 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    slightly = (clean + 0.03 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    assert all(a < b < 1 for a, b in zip(metrics.ssim(noisy, clean), metrics.ssim(slightly, clean), strict=True))


def test_ssim_of_tiny_images() -> None:
    image = torch.rand(1, 3, 4, 4)
    assert metrics.ssim(image, image) == pytest.approx([1.0])


def test_rel_l2() -> None:
    reference = torch.ones(2, 4, 4)
    assert metrics.rel_l2(torch.stack([reference[0] * 1.5, reference[1]]), reference) == pytest.approx([0.5, 0.0])


def test_mean_leaves_out_what_says_nothing_and_hides_no_breakage() -> None:
    assert metrics.mean([1.0, 3.0, math.inf, None]) == 2.0
    assert metrics.mean([math.inf, None]) is None
    assert metrics.mean([1.0, math.nan]) is None
    assert metrics.finite_or_none([1.0, math.inf, math.nan, None]) == [1.0, None, None, None]
