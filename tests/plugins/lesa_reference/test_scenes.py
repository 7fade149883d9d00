from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesa_reference.captions import random_scene
from lesa_reference.scenes import BACKGROUNDS, COLOURS, GLYPHS, SHAPES, SIZE, Background, Scene, Thing, render, shade

GREY = Background("quilt", ((0.5, 0.5, 0.5),) * 3, 0.0, 0.2, (0.5, 0.5), 0)


def thing(shape: str, **changes: object) -> Thing:
    red = shade("red", np.random.default_rng(0), jitter=0)
    made = Thing(shape, "red", "plain", (0.5, 0.5), 0.25, 0.0, red, (0.0, 0.0, 0.0), 0.1)
    return replace(made, **changes)


@given(st.integers(0, 2**31))
def test_pictures_are_floats_in_range_and_depend_on_nothing_but_the_scene(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    picture = render(scene)
    assert picture.shape == (SIZE, SIZE, 3)
    assert picture.dtype == np.float32
    assert 0 <= picture.min() <= picture.max() <= 1 + 1e-6
    assert np.array_equal(picture, render(scene))


@pytest.mark.parametrize("shape", [*SHAPES, *GLYPHS])
def test_every_shape_is_drawn_in_its_colour(shape: str) -> None:
    picture = render(Scene((thing(shape),), (), GREY, ""))
    red = (picture[..., 0] - picture[..., 1]) > 0.5
    assert 0.02 < red.mean() < 0.25


def test_shapes_differ() -> None:
    pictures = [render(Scene((thing(shape),), (), GREY, "")) for shape in (*SHAPES, *GLYPHS)]
    for i, one in enumerate(pictures):
        assert all(np.abs(one - other).mean() > 0.005 for other in pictures[:i])


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_patches_have_several_colours_and_follow_the_seed(kind: str) -> None:
    palette = tuple(shade(name, np.random.default_rng(0), jitter=0) for name in list(COLOURS)[:5])
    first = render(Scene((), (), Background(kind, palette, 0.3, 0.2, (0.4, 0.6), 1), ""))
    second = render(Scene((), (), Background(kind, palette, 0.3, 0.2, (0.4, 0.6), 2), ""))
    assert first.std(axis=(0, 1)).max() > 0.1
    assert np.abs(first - second).mean() > 0.02


def test_a_ring_has_a_hole() -> None:
    picture = render(Scene((thing("ring"),), (), GREY, ""))
    middle = picture[SIZE // 2, SIZE // 2]
    assert middle == pytest.approx([0.5] * 3)  # the background
