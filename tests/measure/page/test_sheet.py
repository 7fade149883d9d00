from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lesa_framework.measure.details import Details, MetricInfo
from lesa_framework.measure.images import data_uri
from lesa_framework.measure.page.sheet import methods, sheet_png
from lesa_framework.measure.results import Kind, ModelResults, Pair, Results, Row

PSNR = MetricInfo(heading="PSNR, dB", summary="Float PSNR.", higher_is_better=True)
#: Name -> kind, NFE, PSNR; the sample of each is of one brightness, its place in this table in tenths.
MADE = {
    "uncached": (Kind.UNCACHED, 50, None),
    "line-n7": (Kind.CACHE, 10, 40.0),
    "line-n10": (Kind.CACHE, 8, 20.0),
    "line-even8": (Kind.CACHE, 8, 30.0),
    "reuse-n10": (Kind.CACHE, 8, 35.0),
}


def made(frames: int = 1, prompts: int = 2, side: int = 16) -> Results:
    rows = [
        Row.model_validate(
            {
                "model": "m", "name": name, "kind": kind, "family": name.split("-")[0], "nfe": nfe, "num_steps": 50,
                "psnr_db": psnr,
            }
        )
        for name, (kind, nfe, psnr) in MADE.items()
    ]  # fmt: skip
    shape = (3, side, side) if frames == 1 else (frames, 3, side, side)
    found = ModelResults(
        model="m",
        num_steps=50,
        batch=2,
        frames=frames,
        pairs=[Pair(prompt=f"prompt {index}", seed=index) for index in range(prompts + 1)],
        details={name: Details(scores={"psnr_db": [30.0, None, 1.0, 2.0, 3.0]}) for name in MADE},
        images={
            name: [data_uri(torch.full(shape, place / 10)) for _ in range(prompts)] for place, name in enumerate(MADE)
        },
    )
    return Results(rows=rows, models=[found], metrics={"psnr_db": PSNR})


def drawn(results: Results) -> np.ndarray:
    with Image.open(io.BytesIO(sheet_png(results, results.models[0]))) as sheet:
        return np.asarray(sheet)


def test_the_best_of_each_family_where_most_is_saved() -> None:
    results = made()
    assert [row.name for row in methods(results, results.models[0])] == ["uncached", "reuse-n10", "line-even8"]


def test_methods_without_images_are_left_out() -> None:
    results = made()
    found = results.models[0]
    fewer = found.model_copy(update={"images": {name: found.images[name] for name in ("uncached", "line-n7")}})
    assert [row.name for row in methods(results, fewer)] == ["uncached", "line-n7"]


def test_small_pictures_are_large_enough_to_see_and_in_columns() -> None:
    sheet = drawn(made())
    for place in (0, 4, 3):  # uncached, reuse-n10 and line-even8
        shade = (sheet == round(place / 10 * 255)).all(axis=-1)
        assert shade.sum() >= 2 * 192 * 192, "two prompts"
    left, middle, right = (
        np.flatnonzero((sheet == value).all(axis=-1).sum(axis=0) >= 2 * 192).min() for value in (0, 102, 76)
    )
    assert left < middle < right


def test_a_prompt_more_is_a_row_more_and_no_column() -> None:
    two, three = drawn(made()), drawn(made(prompts=3))
    assert two.shape[1] == three.shape[1]
    assert three.shape[0] - two.shape[0] > 192


@pytest.mark.parametrize(("frames", "shown"), [(2, 2), (9, 5)])
def test_frames_of_a_clip_stand_side_by_side_and_methods_above_each_other(frames: int, shown: int) -> None:
    sheet = drawn(made(frames, prompts=1))
    shade = (sheet == 102).all(axis=-1)
    assert shade.sum(axis=1).max() >= shown * 192
    assert shade.sum(axis=1).max() < (shown + 1) * 192
    tops = [np.flatnonzero((sheet == value).all(axis=-1).sum(axis=1) >= shown * 192).min() for value in (0, 102, 76)]
    assert tops == sorted(tops)


def test_only_the_first_clips_are_shown() -> None:
    assert drawn(made(2, prompts=3)).shape == drawn(made(2, prompts=4)).shape


def test_large_pictures_shrink() -> None:
    assert drawn(made(side=400)).shape[1] < 3 * 400
