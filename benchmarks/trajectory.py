"""Measures the trajectories that docs/explanation/concepts.md shows: `python -m benchmarks.trajectory`.

The latents of one run of the bundled FLUX, uncached and with two schedules, projected on the plane in which the
uncached trajectory spreads the most, and their distance from the uncached ones. It takes half a minute on a CPU.
"""

from __future__ import annotations

import json
from typing import Any, Final

import torch
from torch import Tensor

import lesa_framework as lesa
from benchmarks.markup import ROOT
from lesa_framework.files import write_text
from lesa_framework.pipelines import find_model, load_pipeline

FILE: Final = ROOT / "benchmarks" / "results" / "probes" / "trajectory.json"
_MODEL, _STEPS, _COMPUTED = "reference:flux", 50, (5, 10)


def main() -> None:
    """Run and write."""
    source = find_model(_MODEL)
    assert source.named is not None
    assert source.named.demo_prompts is not None
    pipe, (prompt,) = load_pipeline(source), source.named.demo_prompts(0, 1)
    uncached = _latents(pipe, prompt, dict(source.named.call))
    centre = uncached.mean(0)
    torch.manual_seed(0)  # of the projection's sketch
    _, _, axes = torch.pca_lowrank(uncached - centre, q=2, center=False)
    axes = axes * torch.sign((uncached[-1] - uncached[0]) @ axes)  # noise to the left, below

    def seen(latents: Tensor, plan: str) -> dict[str, Any]:
        away = (latents - uncached).norm(dim=1) / uncached.norm(dim=1)
        return {"plan": plan, "points": _rounded((latents - centre) @ axes), "away": _rounded(away)}

    runs = {"uncached": seen(uncached, "F" * _STEPS)}
    for count in _COMPUTED:
        config = {
            "schedule": {"kind": "even", "compute": count},
            "predictor": {"kind": "reuse"},
            "backbone": {"kind": "auto"},
        }
        with lesa.accelerate(pipe, config) as session:
            latents = _latents(pipe, prompt, dict(source.named.call))
            runs[f"{count} of {_STEPS} steps computed"] = seen(latents, session.report.plan())
    found = {"model": _MODEL, "prompt": prompt, "seed": 0, "predictor": "reuse", "runs": runs}
    write_text(FILE, json.dumps(found, indent=1) + "\n")


def _latents(pipe: Any, prompt: str, call: dict[str, object]) -> Tensor:
    """The latent after each step, shape (steps, numbers of a latent)."""
    found: list[Tensor] = []

    def after_step(pipeline: Any, index: int, timestep: Any, state: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
        found.append(state["latents"].detach().float().cpu().flatten())
        return state

    with torch.no_grad():
        pipe(
            prompt=prompt,
            generator=torch.Generator().manual_seed(0),
            num_inference_steps=_STEPS,
            output_type="latent",
            callback_on_step_end=after_step,
            **call,
        )
    return torch.stack(found)


def _rounded(values: Tensor) -> Any:
    return [[round(x, 4) for x in row] if isinstance(row, list) else round(row, 4) for row in values.tolist()]


if __name__ == "__main__":
    main()
