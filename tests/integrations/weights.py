"""Weights of the tiny FLUX as `lesa train` writes them, with random numbers, for tests that load them elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

import lesa_framework as lesa
from lesa_fitted.table import TUNING, TableShape
from lesa_framework import Tap
from lesa_framework.artifacts import Artifact, ArtifactMetadata, load_metadata, save_artifact
from lesa_framework.model_info import describe_model
from lesa_kan.experts import ExpertShape

STEPS, COMPUTED, PLAN = 12, [0, 1, 4, 8], "FFPPFPPPFPPP"
#: What the configuration says of a kind, the settings of the weights, and their numbers.
Made: TypeAlias = tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]


def _near(value: float, *shape: int) -> torch.Tensor:
    return value + 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _fitted() -> Made:
    shape = TableShape(STEPS, tuple(COMPUTED), 2, ("cond", "uncond"))
    return {"predictor": {"kind": "fitted", "history": 2}}, shape.as_json(), {"weights": _near(0.5, *shape.size)}


def _tuned() -> Made:
    """Filters with tuned computed steps: shift, gain and ahead of each branch are its own."""
    sections, settings, tensors = _fitted()
    shape = TableShape(STEPS, tuple(COMPUTED), 2, ("cond", "uncond"))
    return sections, settings, {**tensors, TUNING: _near(0, *shape.tuning_size) * torch.tensor([0.01, 0.05, 1.0])}


def _l2p() -> Made:
    table = _near(0.1, STEPS, STEPS).tril() + torch.eye(STEPS).roll(1, 1).tril()
    return {"predictor": {"kind": "l2p"}}, {"num_steps": STEPS}, {"weights": table}


def _lesa() -> Made:
    shape = ExpertShape(STEPS, (2, 2, 2), (4,), branches=2)
    sections = {
        "router": {"kind": "thresholds"},
        "predictor": {"kind": "lesa", "history": 2, "hidden": [4], "branches": 2},
    }
    return sections, shape.as_json(), {name: _near(0, *size) for name, size in shape.tables().items()}


KINDS: dict[str, Callable[[], Made]] = {"fitted": _fitted, "tuned": _tuned, "l2p": _l2p, "lesa": _lesa}


def put_weights(
    file: Path, kind: str, sigmas: Sequence[float], transformer: nn.Module, tap: Tap = Tap.PRE_HEAD
) -> Path:
    """Write a file of weights, with their configuration inside.

    Args:
        file: Where to.
        kind: The predictor's.
        sigmas: The grid, of `STEPS` steps.
        transformer: Of diffusers, which they are for.
        tap: Where the features are taken.
    """
    sections, settings, tensors = KINDS[kind]()
    config = lesa.load_config(
        {"schedule": {"kind": "steps", "compute": COMPUTED}, **sections, "backbone": {"tap": tap}}
    )
    metadata = ArtifactMetadata(
        kind=sections["predictor"]["kind"],
        settings=settings,
        sigmas=tuple(sigmas),
        backbone="flux",
        tap=tap,
        models=(describe_model(transformer, ("transformer_blocks", "single_transformer_blocks")),),
        latent_shape=(16, 32),
        config=config.model_dump(mode="json", exclude={"name"}),
    )
    save_artifact(file, Artifact(metadata, tensors))
    return file


@torch.no_grad()
def sampled(model: nn.Module, file: Path, noise: Tensor, prompts: Sequence[Sequence[Tensor]], ids: Tensor) -> Tensor:
    """Euler steps with diffusers' FLUX and a file of weights; with two prompts, guided by 3.

    Args:
        model: The transformer.
        file: The weights.
        noise: (1, tokens, channels).
        prompts: Of each branch the embedding and the pooled one.
        ids: Where each token is.
    """
    grid = load_metadata(file).sigmas
    with lesa.accelerate(model, file, sigmas=grid):
        for level, then in pairwise(grid):
            found = [
                model(
                    hidden_states=noise,
                    timestep=torch.tensor([level]),
                    encoder_hidden_states=embedding,
                    pooled_projections=pooled,
                    img_ids=ids,
                    txt_ids=torch.zeros(embedding.shape[1], 3),
                    return_dict=False,
                )[0]
                for embedding, pooled in prompts
            ]
            velocity = found[0] if len(found) == 1 else found[1] + 3 * (found[0] - found[1])
            noise = noise + (then - level) * velocity
    return noise
