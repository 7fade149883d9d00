from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from lesa_framework.measure.images import data_uri, from_data_uri, png_bytes, thumbnail


def test_png_holds_the_nearest_8_bit_values() -> None:
    image = torch.tensor([0.0, 0.5, 1.0, 1.2, -0.1, 127.4 / 255]).expand(3, 1, 6)
    pixels = np.asarray(Image.open(io.BytesIO(png_bytes(image))))
    assert pixels[0, :, 0].tolist() == [0, 128, 255, 255, 0, 127]


def test_video_is_animated() -> None:
    with Image.open(io.BytesIO(png_bytes(torch.rand(5, 3, 8, 8)))) as image:
        assert image.n_frames == 5


def test_only_large_images_shrink() -> None:
    small = torch.rand(3, 8, 8)
    assert thumbnail(small, 16) is small
    assert thumbnail(torch.rand(3, 64, 32), 16).shape == (3, 16, 8)
    assert thumbnail(torch.rand(5, 3, 32, 64), 16).shape == (5, 3, 8, 16)


def test_small_images_survive_a_data_uri() -> None:
    picture = torch.rand(3, 16, 16)
    assert torch.equal(from_data_uri(data_uri(picture)), picture.mul(255).round() / 255)
    video = torch.rand(5, 3, 8, 16)
    assert torch.equal(from_data_uri(data_uri(video), 5), video.mul(255).round() / 255)
