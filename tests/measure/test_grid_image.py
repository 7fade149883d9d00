from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from lesa_framework.measure.details import Details
from lesa_framework.measure.grid_image import grid_png
from lesa_framework.measure.images import data_uri
from lesa_framework.measure.results import ModelResults, Pair


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
