"""Clips: scenes whose captioned things move, and captions that may describe the movement.

Every captioned thing has one of the [`MOTIONS`][lesa_reference.motion.MOTIONS]. The caption names it or not, for
example `a red ring moving left and a blue star`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lesa_reference.captions import VOCABULARY, describe, random_scene
from lesa_reference.scenes import Scene, Thing, draw_thing, render

#: Frames of a clip.
FRAMES = 9
#: Motion -> (change of x, change of y) over the clip, in picture widths.
_PATHS = {"moving left": (-1, 0), "moving right": (1, 0), "moving up": (0, -1), "moving down": (0, 1)}
MOTIONS = (*_PATHS, "growing", "shrinking", "spinning")
#: Every word of a clip's caption.
CLIP_VOCABULARY: tuple[str, ...] = (*VOCABULARY, "moving", "up", "down", "growing", "shrinking", "spinning")
#: Share of things whose motion the caption names.
_NAMED = 0.7


@dataclass(frozen=True)
class Motion:
    """How one thing moves."""

    kind: str  # one of MOTIONS
    amount: float  # picture widths, natural logarithm of the growth, or radians, over the whole clip

    def at(self, thing: Thing, phase: float) -> Thing:
        """The thing at one moment: `phase` runs from -0.5 to 0.5, and the scene shows it at 0."""
        way = self.amount * phase
        if self.kind in _PATHS:
            dx, dy = _PATHS[self.kind]
            return replace(thing, centre=(thing.centre[0] + dx * way, thing.centre[1] + dy * way))
        if self.kind == "spinning":
            return replace(thing, angle=thing.angle + way)
        return replace(thing, radius=thing.radius * float(np.exp(way if self.kind == "growing" else -way)))


@dataclass(frozen=True)
class Clip:
    """A scene, a motion for each captioned thing, and a caption."""

    scene: Scene
    motions: tuple[Motion, ...]
    caption: str


def random_clip(rng: np.random.Generator) -> Clip:
    """Draw a clip; whatever its caption does not mention is random too."""
    scene = random_scene(rng)
    motions = tuple(_motion(rng) for _ in scene.things)
    phrases = [
        f"{describe(thing)} {motion.kind}" if rng.random() < _NAMED else describe(thing)
        for thing, motion in zip(scene.things, motions, strict=True)
    ]
    return Clip(scene, motions, scene.caption_of(phrases))


def _motion(rng: np.random.Generator) -> Motion:
    kind = str(rng.choice(MOTIONS))
    low, high = {"growing": (0.5, 0.9), "shrinking": (0.5, 0.9), "spinning": (1.0, 2.0)}.get(kind, (0.25, 0.45))
    return Motion(kind, float(rng.uniform(low, high)))


def render_clip(clip: Clip) -> np.ndarray:
    """Draw a clip.

    Returns:
        float32 frames of shape (FRAMES, SIZE, SIZE, 3), RGB in [0, 1].
    """
    still = render(replace(clip.scene, things=()))
    frames = []
    for frame in range(FRAMES):
        phase = frame / (FRAMES - 1) - 0.5
        picture = still
        for thing, motion in zip(clip.scene.things, clip.motions, strict=True):
            picture = draw_thing(picture, motion.at(thing, phase), rim=True)
        frames.append(picture.astype(np.float32))
    return np.stack(frames)
