"""Scenes drawn by code: the pictures that the reference models learn.

A [`Scene`][lesa_reference.scenes.Scene] holds everything in a picture. Its caption names only some of it
(see `captions.py`). The model chooses the rest: positions, sizes, rotations, exact shades, the confetti and every
patch of the background. It makes each of these choices somewhere along the trajectory, which is what makes few-step
sampling hard.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64
_SUPERSAMPLE = 4

#: Red, green and blue, each in [0, 1].
Rgb: TypeAlias = tuple[float, float, float]
#: Colour name -> (hue, saturation, value), each in [0, 1].
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.00, 0.90, 0.88),
    "orange": (0.075, 0.95, 0.98),
    "yellow": (0.155, 0.90, 0.98),
    "green": (0.35, 0.80, 0.65),
    "cyan": (0.50, 0.75, 0.88),
    "blue": (0.62, 0.85, 0.85),
    "purple": (0.77, 0.70, 0.72),
    "white": (0.00, 0.00, 0.97),
}
TEXTURES = ("plain", "striped", "dotted", "checkered")
BACKGROUNDS = ("quilt", "bars", "rings", "dots", "wedges")

Points = list[tuple[float, float]]


def _regular(count: int, phase: float = 0.0, inner: float = 1.0) -> Points:
    """`count` points on the unit circle, every other one at radius `inner`."""
    angles = phase + 2 * np.pi * np.arange(count) / count
    radii = np.where(np.arange(count) % 2 == 0, 1.0, inner)
    return [(float(r * np.sin(a)), float(-r * np.cos(a))) for r, a in zip(radii, angles, strict=True)]


_W = 0.36
_POLYGONS: dict[str, Points] = {
    "square": _regular(4, np.pi / 4),
    "triangle": _regular(3),
    "diamond": [(0.0, -1.0), (0.62, 0.0), (0.0, 1.0), (-0.62, 0.0)],
    "star": _regular(10, inner=0.42),
    "cross": [(-_W, -1), (_W, -1), (_W, -_W), (1, -_W), (1, _W), (_W, _W), (_W, 1), (-_W, 1), (-_W, _W), (-1, _W),
              (-1, -_W), (-_W, -_W)],
}  # fmt: skip
#: Glyph -> pen strokes in the unit square around the origin. No A: captions are read regardless of case.
_GLYPHS: dict[str, list[Points]] = {
    "E": [[(0.6, -0.9), (-0.6, -0.9), (-0.6, 0.9), (0.6, 0.9)], [(-0.6, 0.0), (0.4, 0.0)]],
    "H": [[(-0.6, -0.9), (-0.6, 0.9)], [(0.6, -0.9), (0.6, 0.9)], [(-0.6, 0.0), (0.6, 0.0)]],
    "K": [[(-0.6, -0.9), (-0.6, 0.9)], [(0.6, -0.9), (-0.5, 0.05), (0.65, 0.9)]],
    "T": [[(-0.75, -0.9), (0.75, -0.9)], [(0.0, -0.9), (0.0, 0.9)]],
    "V": [[(-0.7, -0.9), (0.0, 0.9), (0.7, -0.9)]],
    "Z": [[(-0.65, -0.9), (0.65, -0.9), (-0.65, 0.9), (0.65, 0.9)]],
}
GLYPHS = tuple(_GLYPHS)
SHAPES = ("circle", "ring", *_POLYGONS)


@dataclass(frozen=True)
class Thing:
    """One object: what it is, which a caption may say, and where and how it lies, which no caption says."""

    shape: str  # one of SHAPES or GLYPHS
    colour: str
    texture: str
    centre: tuple[float, float]  # x, y in [0, 1]
    radius: float  # in [0, 1]
    angle: float  # radians
    rgb: Rgb  # the exact shade
    accent: Rgb  # second colour of a texture
    pitch: float  # period of the texture, in picture widths


@dataclass(frozen=True)
class Background:
    """A pattern of patches, each with its own colour from a palette."""

    kind: str  # one of BACKGROUNDS
    palette: tuple[Rgb, ...]
    angle: float
    pitch: float  # size of a patch, in picture widths
    centre: tuple[float, float]
    seed: int  # of the patches' colours


@dataclass(frozen=True)
class Scene:
    """A whole picture: captioned things, uncaptioned confetti, a background."""

    things: tuple[Thing, ...]
    confetti: tuple[Thing, ...]
    background: Background
    caption: str
    joint: str = ""  # the caption between its things, such as "left of"
    ending: str = ""  # what the caption says about the background, such as " on yellow"

    def caption_of(self, phrases: Sequence[str]) -> str:
        """The caption with other words for its things."""
        return f" {self.joint} ".join(phrases) + self.ending


def shade(name: str, rng: np.random.Generator, jitter: float = 1.0) -> Rgb:
    """A random shade of a named colour, as RGB in [0, 1]."""
    hue, saturation, value = COLOURS[name]
    hue = (hue + jitter * rng.uniform(-0.015, 0.015)) % 1.0
    saturation = min(1.0, saturation * (1 - jitter * rng.uniform(0, 0.15)))
    value = min(1.0, value * (1 - jitter * rng.uniform(0, 0.12)))
    return colorsys.hsv_to_rgb(hue, saturation, value)


def render(scene: Scene) -> np.ndarray:
    """Draw a scene.

    Returns:
        float32 picture of shape (SIZE, SIZE, 3), RGB in [0, 1].
    """
    picture = _background(scene.background)
    for thing in scene.confetti:
        picture = draw_thing(picture, thing)
    for thing in scene.things:
        picture = draw_thing(picture, thing, rim=True)
    return picture.astype(np.float32)


def draw_thing(picture: np.ndarray, thing: Thing, *, rim: bool = False) -> np.ndarray:
    """The picture with a thing in it; a dark rim sets it off from the background."""
    if rim:
        picture = picture * (1 - 0.85 * _mask(replace(thing, radius=thing.radius + 1.6 / SIZE))[..., None])
    mask = _mask(thing)[..., None]
    return picture * (1 - mask) + _fill(thing) * mask


def _grid() -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(axis, axis)
    return x, y


def _square_wave(phase: np.ndarray, pitch: float) -> np.ndarray:
    """A 0/1 wave of period 1 whose edges are one pixel wide."""
    triangle = np.abs((phase % 1.0) - 0.5) - 0.25
    return np.clip(triangle * pitch * SIZE + 0.5, 0.0, 1.0)


def _rotated(angle: float, centre: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    x, y = _grid()
    x, y = x - centre[0], y - centre[1]
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def _dots(u: np.ndarray, v: np.ndarray, pitch: float) -> np.ndarray:
    du, dv = (u / pitch) % 1.0 - 0.5, (v / pitch) % 1.0 - 0.5
    return np.clip((0.3 - np.hypot(du, dv)) * pitch * SIZE + 0.5, 0.0, 1.0)


def _checks(u: np.ndarray, v: np.ndarray, pitch: float) -> np.ndarray:
    a, b = _square_wave(u / pitch, pitch), _square_wave(v / pitch, pitch)
    return a * (1 - b) + b * (1 - a)


def _blend(weight: np.ndarray, first: tuple[float, ...], second: tuple[float, ...]) -> np.ndarray:
    return weight[..., None] * np.array(second) + (1 - weight[..., None]) * np.array(first)


def _background(background: Background) -> np.ndarray:
    fine = 2  # patches have hard edges: draw them larger, then average
    axis = (np.arange(SIZE * fine) + 0.5) / (SIZE * fine)
    x, y = np.meshgrid(axis - background.centre[0], axis - background.centre[1])
    cos, sin = np.cos(background.angle), np.sin(background.angle)
    u, v = x * cos + y * sin, y * cos - x * sin
    radius, turn, pitch = np.hypot(u, v), np.arctan2(v, u) / (2 * np.pi) + 0.5, background.pitch
    row, column = np.floor(u / pitch), np.floor(v / pitch)
    none = np.zeros_like(u)
    cells: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "quilt": (row, column),
        "bars": (np.floor(2 * u / pitch), none),
        "rings": (np.floor(2 * radius / pitch), none),
        "dots": (row, column),
        "wedges": (np.floor(turn * 12), np.floor(radius / (2 * pitch))),
    }
    first, second = cells[background.kind]
    table = np.random.default_rng(background.seed).integers(1, len(background.palette), size=(64, 64))
    index = table[first.astype(int) % 64, second.astype(int) % 64]
    if background.kind == "dots":
        inside = np.hypot(u / pitch - row - 0.5, v / pitch - column - 0.5) < 0.36
        index = np.where(inside, index, 0)
    colours = np.array(background.palette)[index]
    return colours.reshape(SIZE, fine, SIZE, fine, 3).mean(axis=(1, 3))


def _fill(thing: Thing) -> np.ndarray:
    u, v = _rotated(thing.angle + 0.6, thing.centre)
    weight: dict[str, Callable[[], np.ndarray]] = {
        "plain": lambda: np.zeros_like(u),
        "striped": lambda: _square_wave(u / thing.pitch, thing.pitch),
        "dotted": lambda: _dots(u, v, thing.pitch),
        "checkered": lambda: _checks(u, v, thing.pitch),
    }
    return _blend(weight[thing.texture](), thing.rgb, thing.accent)


def _mask(thing: Thing) -> np.ndarray:
    """Coverage of a thing, shape (SIZE, SIZE), in [0, 1], anti-aliased."""
    side = SIZE * _SUPERSAMPLE
    canvas = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(canvas)
    cx, cy, radius = thing.centre[0] * side, thing.centre[1] * side, thing.radius * side
    cos, sin = np.cos(thing.angle), np.sin(thing.angle)

    def place(points: Points) -> Points:
        return [(cx + radius * (x * cos - y * sin), cy + radius * (x * sin + y * cos)) for x, y in points]

    if thing.shape in ("circle", "ring"):
        pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=255)
        if thing.shape == "ring":
            hole = radius * 0.55
            pen.ellipse((cx - hole, cy - hole, cx + hole, cy + hole), fill=0)
    elif thing.shape in _POLYGONS:
        pen.polygon(place(_POLYGONS[thing.shape]), fill=255)
    else:
        width = max(1, round(radius * 0.38))
        for stroke in _GLYPHS[thing.shape]:
            pen.line(place(stroke), fill=255, width=width, joint="curve")
    return np.asarray(canvas.reduce(_SUPERSAMPLE), dtype=np.float32) / 255.0
