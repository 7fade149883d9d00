"""Measures `fitted` in runs that it was not fitted to, for docs/reference/weights.md.

`python -m benchmarks.beyond_the_fit` prints the tables: other numbers of steps, and image-to-image, which begins later.
dB are of the final latents against the uncached run of as many steps. It takes about a quarter of an hour on a core.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import diffusers
import torch
from torch import Tensor

import lesa_framework as lesa
from benchmarks.bundled import loaded, noise
from benchmarks.markup import header, number, signed
from lesa_framework.measure.intervals import interval
from lesa_framework.measure.results import Pair
from lesa_framework.training import closeness_db

_PAIRS = 16
_STEPS: Final = (25, 30, 40, 50, 60, 100)
_PRESETS: Final = ("ref-flux-fitted-nfe10", "ref-qwen_image-fitted-nfe8", "ref-hunyuan_video-fitted-nfe10")
_STRENGTHS: Final = (0.5, 0.7)
_IMAGE_TO_IMAGE: Final = {
    "ref-flux-fitted-nfe10": "FluxImg2ImgPipeline", "ref-qwen_image-fitted-nfe8": "QwenImageImg2ImgPipeline",
}  # fmt: skip
_LINE: Final = {"kind": "taylorseer", "order": 1}
#: A run's final latents.
_Run = Callable[[], Tensor]


def main() -> None:
    """Run and print both tables."""
    print(header(["preset", "steps", "computed", "preset", "straight line, even steps", "fewer steps", "lead"], 3))
    for preset in _PRESETS:
        for row in _other_steps(preset):
            print(f"| {' | '.join(row)} |", flush=True)
    heads = ["preset", "straight line", "reuse", "straight line, even steps"]
    print("\n" + header(["preset", "strength", "computed", *heads, "lead"], 3))
    for preset in _IMAGE_TO_IMAGE:
        for row in _later(preset):
            print(f"| {' | '.join(row)} |", flush=True)


def _other_steps(preset: str) -> Iterator[list[str]]:
    pipe, call = loaded(preset, _PAIRS)

    def run(steps: int) -> Tensor:
        return _latents(pipe, {**call, "num_inference_steps": steps})

    for steps in _STEPS:
        uncached = run(steps)
        ours, plan = _cached(pipe, preset, partial(run, steps), uncached)
        line = {"schedule": {"kind": "even", "compute": plan.count("F")}, "predictor": _LINE, **_place(preset)}
        straight, _ = _cached(pipe, line, partial(run, steps), uncached)
        fewer = closeness_db(run(plan.count("F")), uncached).tolist()
        yield [f"`{preset}`", str(steps), str(plan.count("F")), *_compared([ours, straight, fewer])]


def _later(preset: str) -> Iterator[list[str]]:
    made, call = loaded(preset, _PAIRS)
    call |= {"num_inference_steps": 50}
    with torch.no_grad():  # the model's own pictures, of other prompts
        pictures = made(**call, generator=noise(500, _PAIRS), output_type="pt").images.roll(1, 0)
    pipe = getattr(diffusers, _IMAGE_TO_IMAGE[preset])(**made.components)
    pipe.set_progress_bar_config(disable=True)
    compute = lesa.load_config(preset).schedule.compute  # type: ignore[attr-defined]
    own, even = {"kind": "steps", "compute": compute}, {"kind": "even", "compute": len(compute)}
    others = [(own, _LINE), (own, {"kind": "reuse"}), (even, _LINE)]
    caches = [preset, *({"schedule": steps, "predictor": what, **_place(preset)} for steps, what in others)]
    for strength in _STRENGTHS:

        def run(strength: float = strength) -> Tensor:
            return _latents(pipe, {**call, "image": pictures, "strength": strength})

        uncached = run()
        found, (plan, *_) = zip(*(_cached(pipe, each, run, uncached) for each in caches), strict=True)
        yield [f"`{preset}`", f"{strength}", f"{plan.count('F')} of {len(plan)}", *_compared(list(found))]


def _place(preset: str) -> dict[str, Any]:
    """Where a cache without weights sits: where the preset does."""
    return {"backbone": {"kind": "auto", "tap": lesa.load_config(preset).backbone.tap}}


def _latents(pipe: Any, call: dict[str, Any]) -> Tensor:
    with torch.no_grad():
        latents: Tensor = pipe(**{**call, "output_type": "latent"}, generator=noise(900, _PAIRS))[0]
    return latents


def _cached(pipe: Any, config: Any, run: _Run, uncached: Tensor) -> tuple[list[float], str]:
    """How close each pair comes, and the plan."""
    with lesa.accelerate(pipe, config) as session:
        found = closeness_db(run(), uncached).tolist()
    return found, session.report.plan(session.report.branches[0])


def _compared(found: list[list[float]]) -> list[str]:
    """The means, and the lead of the first over the closest of the others with its 95 % interval."""
    closest = max(found[1:], key=statistics.fmean)
    leads = [ours - theirs for ours, theirs in zip(found[0], closest, strict=True)]
    low, high = interval([(Pair(prompt=str(pair), seed=0), lead) for pair, lead in enumerate(leads)])
    means = [number(statistics.fmean(each), 1) for each in found]
    lead = f"{signed(statistics.fmean(leads), 1)} ({signed(low or 0, 1)} to {signed(high or 0, 1)})"
    return [*means, lead]


if __name__ == "__main__":
    main()
