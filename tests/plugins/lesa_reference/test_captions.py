from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesa_reference.captions import VOCABULARY, Claim, claims, random_scene
from lesa_reference.scenes import COLOURS, GLYPHS, SHAPES
from lesa_reference.text import TEXT_TOKENS, clip_tokenizer


@given(st.integers(0, 2**31))
def test_a_caption_names_the_scenes_things_in_order(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    assert claims(scene.caption) == tuple(Claim(thing.shape, thing.colour) for thing in scene.things)


@given(st.integers(0, 2**31))
def test_every_word_is_known_to_the_tokenizers_and_every_caption_fits(seed: int) -> None:
    words = random_scene(np.random.default_rng(seed)).caption.split()
    assert {word.lower() for word in words} <= set(VOCABULARY)
    assert len(words) + 2 <= TEXT_TOKENS


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red ring on blue", [("ring", "red")]),
        ("A Striped BLUE star left of an orange letter k", [("star", "blue"), ("K", "orange")]),
        ("two cats", []),
        ("", []),
    ],
)
def test_claims(caption: str, expected: list[tuple[str, str]]) -> None:
    assert claims(caption) == tuple(Claim(*pair) for pair in expected)


def test_relations_are_drawn_as_they_are_said() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(400):
        scene = random_scene(rng)
        if len(scene.things) != 2:
            continue
        (ax, ay), (bx, by) = (thing.centre for thing in scene.things)
        for words, holds in {"left of": ax < bx, "right of": ax > bx, "above": ay < by, "below": ay > by}.items():
            if f" {words} " in scene.caption:
                assert holds, scene.caption
                seen.add(words)
    assert len(seen) == 4


def test_case_does_not_matter_to_the_tokenizer() -> None:
    tokenizer = clip_tokenizer()
    assert tokenizer("A Red letter K").input_ids == tokenizer("a red letter k").input_ids
    assert tokenizer.unk_token_id not in tokenizer(" ".join(VOCABULARY)).input_ids
    assert tokenizer("zebra").input_ids[1] == tokenizer.unk_token_id


def test_glyphs_do_not_collide_with_the_article() -> None:
    assert "A" not in GLYPHS
    assert not set(SHAPES) & set(COLOURS)
