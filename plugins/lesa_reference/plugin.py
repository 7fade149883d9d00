"""Registers the bundled models and their presets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lesa_framework import NamedModel, Registrar, hookimpl
from lesa_framework.plugin.registry import Scorer

_HERE = Path(__file__).parent


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register `reference:flux` and every preset."""
    call = {"height": 64, "width": 64, "max_sequence_length": 16, "negative_prompt": "", "true_cfg_scale": 4.0}
    registrar.add_model("reference:flux", NamedModel(_HERE / "models" / "flux", call, _draw_prompts, _load_scorer))
    registrar.add_presets(_HERE / "presets")


# Imported where they are used: the judge needs diffusers, and registering must stay light.
def _draw_prompts(seed: int, count: int, *, training: bool = False) -> list[str]:
    from lesa_reference.prompts import draw_prompts

    return draw_prompts(seed, count, training=training)


def _load_scorer() -> Scorer:
    from lesa_reference.judge import caption_scores, load_judge

    return partial(caption_scores, load_judge())
