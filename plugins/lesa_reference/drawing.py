"""What a reference model learns from, as bytes: pictures and clips drawn from random numbers. Works without torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from lesa_reference.captions import random_scene
from lesa_reference.motion import random_clip, render_clip
from lesa_reference.scenes import SIZE, render

#: Clips are drawn at the size of pictures and shrunk to this.
CLIP_SIZE = 48

#: Draws one example: pixels (uint8, channels first) and a caption. Worker processes find it by its name.
Draw: TypeAlias = Callable[[np.random.Generator], tuple[np.ndarray, str]]


def draw_picture(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A picture, (3, 64, 64)."""
    scene = random_scene(rng)
    return _bytes(render(scene).transpose(2, 0, 1)), scene.caption


def draw_clip(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A clip, (3, 9, 48, 48)."""
    clip = random_clip(rng)
    frames = render_clip(clip).transpose(3, 0, 1, 2)
    return _bytes(_SHRINK @ frames @ _SHRINK.T), clip.caption


def _shrinking(large: int, small: int) -> np.ndarray:
    """The matrix of bilinear shrinking with anti-aliasing, (small, large)."""
    scale = large / small
    centres = (np.arange(small) + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(large) + 0.5 - centres[:, None]) / scale)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


_SHRINK = _shrinking(SIZE, CLIP_SIZE)


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((pixels * 255).round().clip(0, 255).astype(np.uint8))
