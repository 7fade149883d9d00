"""Measures `fitted` in image-to-image, for docs/reference/weights.md: `python -m benchmarks.image_to_image`.

The pictures are the model's own, of other prompts; dB are of the final latents against the uncached run's. It takes
about five minutes on a core.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any, Final

import diffusers
import torch
from torch import Tensor

import lesa_framework as lesa
from benchmarks.markup import header, number, signed
from lesa_framework.pipelines import find_model, load_pipeline
from lesa_framework.training import closeness_db

_PAIRS, _STEPS, _STRENGTHS = 16, 50, (0.5, 0.7)
_SETUPS: Final = (
    ("flux", "FluxImg2ImgPipeline", "ref-flux-fitted-nfe10"),
    ("qwen_image", "QwenImageImg2ImgPipeline", "ref-qwen_image-fitted-nfe8"),
)


def main() -> None:
    """Run and print the table."""
    heads = ["preset", "strength", "computed", "preset", "straight line", "reuse", "straight line, even steps"]
    print(header([*heads, "lead over the closest"], 3))
    for model, kind, preset in _SETUPS:
        for row in _rows(model, kind, preset):
            print(f"| {' | '.join(row)} |", flush=True)


def _rows(model: str, kind: str, preset: str) -> Iterator[list[str]]:
    source = find_model(f"reference:{model}")
    assert source.named is not None
    assert source.named.prompts is not None
    made: Any = load_pipeline(source, device="cpu")
    call = {"prompt": source.named.prompts(778, _PAIRS), "num_inference_steps": _STEPS, **source.named.call}
    with torch.no_grad():
        pictures = made(**call, generator=_noise(500), output_type="pt").images.roll(1, 0)
    pipe = getattr(diffusers, kind)(**made.components)
    pipe.set_progress_bar_config(disable=True)
    for strength in _STRENGTHS:

        def run(strength: float = strength) -> Tensor:
            with torch.no_grad():
                call_ = {**call, "image": pictures, "strength": strength, "output_type": "latent"}
                return pipe(**call_, generator=_noise(900)).images

        uncached, found, plan = run(), [], ""
        for config in _caches(preset):
            with lesa.accelerate(pipe, config) as session:
                found.append(closeness_db(run(), uncached).tolist())
            plan = plan or session.report.plan(session.report.branches[0])
        others = max(found[1:], key=statistics.fmean)
        leads = [ours - theirs for ours, theirs in zip(found[0], others, strict=True)]
        error = 1.96 * statistics.stdev(leads) / math.sqrt(_PAIRS)
        means = [number(statistics.fmean(each), 1) for each in found]
        lead = f"{signed(statistics.fmean(leads), 1)} ± {error:.1f}"
        yield [f"`{preset}`", f"{strength}", f"{plan.count('F')} of {len(plan)}", *means, lead]


def _caches(preset: str) -> list[Any]:
    """The preset; the straight line and reuse on its steps; the straight line on as many even ones."""
    compute = lesa.load_config(preset).schedule.compute  # type: ignore[attr-defined]
    own, even = {"kind": "steps", "compute": compute}, {"kind": "even", "compute": len(compute)}
    line = {"kind": "taylorseer", "order": 1}
    others = [(own, line), (own, {"kind": "reuse"}), (even, line)]
    backbone = {"kind": "auto", "tap": "pre_head"}
    return [preset, *({"schedule": steps, "predictor": what, "backbone": backbone} for steps, what in others)]


def _noise(first: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + number) for number in range(_PAIRS)]


if __name__ == "__main__":
    main()
