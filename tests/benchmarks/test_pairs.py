"""Which prompts the published tables are of, and which the recomputed ones."""

from __future__ import annotations

import json

import pytest
import yaml

from benchmarks.recompute.__main__ import CHOSEN_ON, OUT
from benchmarks.recompute.methods import ROOT
from lesa_reference.prompts import draw_prompts


def config(name):
    return yaml.safe_load((ROOT / "benchmarks" / "configs" / name).read_text("utf-8"))


def draws(model):
    """The published prompts, and those that anything was chosen on."""
    reference = config("reference.yaml")
    published, *others = [
        (each["prompts"]["seed"], each["prompts"]["draw"]) for each in (reference, reference["selection"])
    ]
    found = [set(draw_prompts(*draw, backbone=model)) for draw in (published, *others, *CHOSEN_ON)]
    return found[0], set().union(*found[1:])


def test_both_tables_are_of_the_same_pairs():
    reference, fitted = config("reference.yaml"), config("fitted.yaml")
    assert (fitted["prompts"], fitted["seeds"]) == (reference["prompts"], reference["seeds"])


@pytest.mark.parametrize("model", ["flux", "qwen_image", "hunyuan_video"])
def test_nothing_was_chosen_on_a_prompt_that_is_published_or_recomputed(model):
    published, chosen_on = draws(model)
    recomputed = {prompt for prompt, _ in json.loads(OUT.read_text("utf-8"))["models"][model]["pairs"]}
    assert published.isdisjoint(chosen_on)
    assert recomputed.isdisjoint(published | chosen_on)
