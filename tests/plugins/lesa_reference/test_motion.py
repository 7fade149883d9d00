from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lesa_reference.captions import claims
from lesa_reference.motion import CLIP_VOCABULARY, FRAMES, MOTIONS, Clip, Motion, random_clip, render_clip
from lesa_reference.scenes import SIZE, render


def clips(count: int = 200) -> list[Clip]:
    rng = np.random.default_rng(0)
    return [random_clip(rng) for _ in range(count)]


def test_the_middle_frame_is_the_scene() -> None:
    for clip in clips(5):
        frames = render_clip(clip)
        assert frames.shape == (FRAMES, SIZE, SIZE, 3)
        assert np.allclose(frames[FRAMES // 2], render(clip.scene), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", MOTIONS)
def test_every_motion_moves(kind: str) -> None:
    clip = clips(1)[0]
    thing = replace(clip.scene.things[0], centre=(0.5, 0.5), radius=0.2, shape="star")
    scene = replace(clip.scene, things=(thing,), confetti=())
    frames = render_clip(Clip(scene, (Motion(kind, 0.5),), ""))
    assert np.abs(frames[0] - frames[-1]).max() > 0.1


@pytest.mark.parametrize(("kind", "axis", "sign"), [("moving left", 0, -1), ("moving down", 1, 1)])
def test_direction_is_that_of_the_word(kind: str, axis: int, sign: int) -> None:
    thing = clips(1)[0].scene.things[0]
    motion = Motion(kind, 0.4)
    assert (motion.at(thing, 0.5).centre[axis] - motion.at(thing, -0.5).centre[axis]) * sign == pytest.approx(0.4)


def test_sizes_and_angles_follow_the_word() -> None:
    thing = clips(1)[0].scene.things[0]
    assert Motion("growing", 0.6).at(thing, 0.5).radius > thing.radius > Motion("shrinking", 0.6).at(thing, 0.5).radius
    assert Motion("spinning", 1.5).at(thing, 0.5).angle == pytest.approx(thing.angle + 0.75)


def test_captions_name_the_things_and_most_motions() -> None:
    drawn = clips()
    assert all(len(claims(clip.caption)) == len(clip.scene.things) for clip in drawn)
    assert {word for clip in drawn for word in clip.caption.lower().split()} <= set(CLIP_VOCABULARY)
    said = sum(motion.kind in clip.caption for clip in drawn for motion in clip.motions)
    assert 0.6 < said / sum(len(clip.motions) for clip in drawn) < 0.85
