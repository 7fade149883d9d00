"""Registers the bundled models and their presets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lesa_framework import NamedModel, Registrar, hookimpl
from lesa_reference.caption_score import CaptionScore

_HERE = Path(__file__).parent
_PICTURE = {"height": 64, "width": 64, "max_sequence_length": 16}
_GUIDANCE = {"negative_prompt": "", "true_cfg_scale": 4.0}
#: Model -> arguments of its pipeline.
_CALLS: dict[str, dict[str, object]] = {
    "flux": {**_PICTURE, **_GUIDANCE},
    "qwen_image": {**_PICTURE, **_GUIDANCE},
    "hunyuan_video": {"height": 48, "width": 48, "num_frames": 9, "max_sequence_length": 20, **_GUIDANCE},
}


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the reference models, their metric `caption_score`, and every preset."""
    metric = CaptionScore()
    registrar.add_metric(metric)
    for name, call in _CALLS.items():
        draw, easy = partial(_draw_prompts, backbone=name), partial(_draw_demo_prompts, backbone=name)
        model = NamedModel(_HERE / "models" / name, call, draw, (metric.name,), demo_prompts=easy)
        registrar.add_model(f"reference:{name}", model)
    registrar.add_presets(_HERE / "presets")


# The imports wait until they are needed, so that registering stays light.
def _draw_prompts(seed: int, count: int, *, training: bool = False, backbone: str) -> list[str]:
    from lesa_reference.prompts import draw_prompts

    return draw_prompts(seed, count, training=training, backbone=backbone)


def _draw_demo_prompts(seed: int, count: int, *, backbone: str) -> list[str]:
    from lesa_reference.prompts import draw_demo_prompts

    return draw_demo_prompts(seed, count, backbone=backbone)
