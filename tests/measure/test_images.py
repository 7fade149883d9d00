from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lesa_framework.measure.details import Details
from lesa_framework.measure.images import data_uri, from_data_uri, grid_png, png_bytes, strip, thumbnail
from lesa_framework.measure.results import ModelResults, Pair


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


def test_a_strip_shows_how_a_video_moves() -> None:
    video = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 4, 2)
    assert strip(video).shape == (3, 4, 6)
    assert strip(video)[0, 0].tolist() == [0, 0, 2, 2, 4, 4]
    assert torch.equal(strip(video[0]), video[0])


def test_small_images_survive_a_data_uri() -> None:
    picture = torch.rand(3, 16, 16)
    assert torch.equal(from_data_uri(data_uri(picture)), picture.mul(255).round() / 255)
    video = torch.rand(5, 3, 8, 16)
    assert torch.equal(from_data_uri(data_uri(video), 5), video.mul(255).round() / 255)


@pytest.mark.parametrize("shape", [(3, 16, 16), (5, 3, 16, 16)])
def test_a_row_for_each_prompt_and_a_column_for_each_method(shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    names = ("uncached", "mine", "yours")
    found = ModelResults(
        model="m",
        num_steps=8,
        batch=2,
        frames=shape[0] if len(shape) == 4 else 1,
        pairs=[Pair(prompt="a ring", seed=0), Pair(prompt="a star", seed=1), Pair(prompt="not shown", seed=2)],
        details={name: Details(scores={"psnr_db": [30.0, None, 1.0]}) for name in names},
        images={name: [data_uri(torch.rand(shape, generator=random)) for _ in range(2)] for name in names},
    )
    with Image.open(io.BytesIO(grid_png(found))) as grid:
        wide, high = grid.size
    two = found.model_copy(update={"images": {name: found.images[name] for name in names[:2]}})
    with Image.open(io.BytesIO(grid_png(two))) as grid:
        narrower, same = grid.size
    assert high == same
    column = wide - narrower
    assert wide - 3 * column == narrower - 2 * column > 0
