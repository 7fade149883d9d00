"""Captions, and random scenes that match them.

Grammar: `[a TEXTURE] COLOUR SHAPE [RELATION a ...] [on COLOUR]`, for example
`a red ring`, `a striped blue star left of a green letter K on yellow`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from lesa_reference.scenes import BACKGROUNDS, COLOURS, GLYPHS, SHAPES, TEXTURES, Background, Rgb, Scene, Thing, shade

RELATIONS = ("and", "left of", "right of", "above", "below")
#: Every word a caption can hold; the tokenizers know these and no others.
VOCABULARY: tuple[str, ...] = (
    "a", "an", "and", "left", "right", "of", "above", "below", "on", "letter", *COLOURS, *SHAPES, *TEXTURES[1:],
    *(glyph.lower() for glyph in GLYPHS),
)  # fmt: skip

#: Seeds below this are for training. Held-out prompts are drawn from seeds at or above it.
HELD_OUT_SEED = 1_000_000_000

#: How far a thing is turned at most, in radians: a turned square would be a diamond.
_TILT = 0.35

_THING = re.compile(
    rf"an? (?:(?P<texture>{'|'.join(TEXTURES[1:])}) )?(?P<colour>{'|'.join(COLOURS)}) "
    rf"(?:(?P<shape>{'|'.join(SHAPES)})|letter (?P<glyph>{'|'.join(GLYPHS)}))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Claim:
    """One thing that a caption names."""

    shape: str
    colour: str


def claims(caption: str) -> tuple[Claim, ...]:
    """The things that a caption names, in order; empty for text outside the grammar."""
    return tuple(
        Claim(m["shape"].lower() if m["shape"] else m["glyph"].upper(), m["colour"].lower())
        for m in _THING.finditer(caption)
    )


def random_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene and its caption; whatever the caption does not mention is random too."""
    count = 1 if rng.random() < 0.5 else 2
    relation = str(rng.choice(RELATIONS)) if count == 2 else ""
    backdrop, named = str(rng.choice(list(COLOURS))), bool(rng.random() < 0.5)
    things = tuple(
        _thing(rng, centre, rng.uniform(0.16, 0.23) if count == 2 else rng.uniform(0.22, 0.36), backdrop)
        for centre in _centres(rng, count, relation)
    )
    confetti = tuple(
        _thing(rng, (rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95)), rng.uniform(0.03, 0.06), backdrop, plain=True)
        for _ in range(rng.choice([0, 0, 0, 2, 4]))
    )
    scene = Scene(
        things, confetti, _random_background(rng, backdrop, named), "", relation, f" on {backdrop}" if named else ""
    )
    return replace(scene, caption=scene.caption_of([describe(thing) for thing in things]))


def describe(thing: Thing) -> str:
    """How a caption names a thing, for example "a striped blue star"."""
    texture = "" if thing.texture == "plain" else f"{thing.texture} "
    noun = f"letter {thing.shape}" if thing.shape in GLYPHS else thing.shape
    phrase = f"{texture}{thing.colour} {noun}"
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _centres(rng: np.random.Generator, count: int, relation: str) -> list[tuple[float, float]]:
    if count == 1:
        return [(rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65))]
    low, high, free = rng.uniform(0.22, 0.32), rng.uniform(0.68, 0.78), rng.uniform(0.25, 0.75, size=2)
    # Two things with "and" between them lie along either axis, in either order.
    vertical = relation in ("above", "below") or (relation == "and" and rng.random() < 0.5)
    swapped = relation in ("right of", "below") or (relation == "and" and rng.random() < 0.5)
    first, second = (high, low) if swapped else (low, high)
    pairs = [(first, free[0]), (second, free[1])]
    return [(float(b), float(a)) if vertical else (float(a), float(b)) for a, b in pairs]


def _thing(
    rng: np.random.Generator, centre: tuple[float, float], radius: float, backdrop: str, plain: bool = False
) -> Thing:
    """A random thing, never in the main colour of the background."""
    # The order of the draws is part of every seed: another order would give other scenes.
    colour = str(rng.choice([name for name in COLOURS if name != backdrop]))
    rgb = shade(colour, rng)
    shape, texture = (str(rng.choice(SHAPES)), "plain") if plain else _look(rng)
    accent = _accent(rng, colour, rgb)
    return Thing(
        shape, colour, texture, (float(centre[0]), float(centre[1])), float(radius),
        float(rng.uniform(-_TILT, _TILT)), rgb, accent, float(rng.uniform(0.09, 0.14)),
    )  # fmt: skip


def _look(rng: np.random.Generator) -> tuple[str, str]:
    """A shape or letter, and its texture."""
    textured = rng.random() < 0.35
    shape = str(rng.choice(GLYPHS)) if rng.random() < 0.2 else str(rng.choice(SHAPES))
    # Strokes are too thin to carry a texture that anyone could see.
    return shape, str(rng.choice(TEXTURES[1:])) if textured and shape not in GLYPHS else "plain"


def _accent(rng: np.random.Generator, colour: str, rgb: Rgb) -> Rgb:
    """The second colour of a texture: darker or lighter than the first; beside white only darker."""
    darker = rng.random() < 0.6
    if colour == "white":
        return _dimmed(rgb, 0.55)
    if darker:
        return _dimmed(rgb, 0.25)
    return 1 - (1 - rgb[0]) * 0.25, 1 - (1 - rgb[1]) * 0.25, 1 - (1 - rgb[2]) * 0.25


def _random_background(rng: np.random.Generator, colour: str, named: bool) -> Background:
    """Shades of one colour when the caption names it, otherwise patches of any colours."""
    names = [colour] * 4 if named else [colour, *map(str, rng.choice(list(COLOURS), size=4))]
    dim = rng.uniform(0.45, 0.95, size=len(names)) if named else rng.uniform(0.6, 0.9, size=len(names))
    palette = tuple(_dimmed(shade(name, rng), float(d)) for name, d in zip(names, dim, strict=True))
    return Background(
        str(rng.choice(BACKGROUNDS)), palette, float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.16, 0.3)),
        (float(rng.uniform(0, 1)), float(rng.uniform(0, 1))), int(rng.integers(2**31)),
    )  # fmt: skip


def _dimmed(rgb: Rgb, factor: float) -> Rgb:
    return rgb[0] * factor, rgb[1] * factor, rgb[2] * factor
