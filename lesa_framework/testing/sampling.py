"""Sampling from a bare transformer, and attaching to one without registering anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.interfaces.observer import Observer
from lesa_framework.runtime.calls.grid import FixedGrid
from lesa_framework.runtime.calls.tracking import Tracker
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.model.attach import Attachment
from lesa_framework.runtime.requests import Requests
from lesa_framework.runtime.strategy import Strategy
from lesa_framework.session import Session
from lesa_framework.types import Tap

ModelCall = Callable[[nn.Module, Tensor, float, int], Tensor]
"""Calls a model: (model, latent, noise level, prompt's number) -> its velocity, of the latent's shape."""


def attach(
    model: nn.Module,
    adapter: BackboneAdapter,
    strategy: Strategy,
    sigmas: Sequence[float],
    tap: Tap = Tap.PRE_HEAD,
    observers: Sequence[Observer] = (),
    backbone: str = "testing",
) -> Session:
    """Put a strategy into a model through an adapter that need not be registered.

    All calls in one thread, whichever it is, are one request.

    Args:
        model: The transformer.
        adapter: Its adapter.
        strategy: Schedule, router and predictor.
        sigmas: The sampler's grid, the final 0 included.
        tap: Where features are taken.
        observers: Called at the start and end of runs and after every step.
        backbone: The adapter's kind, as reports and trained predictors see it.
    """
    grid = FixedGrid(sigmas)

    def request(_owner: object, covers_call: bool) -> tuple[Engine, Tracker]:
        return Engine(strategy, backbone, tap, observers, covers_call=covers_call), Tracker(grid)

    requests = Requests(request, ())  # without looking for a pipeline, so that it works in any thread
    return Session(requests, Attachment(model, adapter, tap, requests))


@torch.no_grad()
def sample(
    model: nn.Module,
    call: ModelCall,
    latent: Tensor,
    sigmas: Sequence[float],
    *,
    prompt: int = 0,
    guidance: float = 1.0,
) -> list[Tensor]:
    """Euler sampling.

    Args:
        model: The transformer.
        call: Calls it.
        latent: Where to start.
        sigmas: Noise levels, the final one included.
        prompt: Number of the prompt.
        guidance: Above 1, a second call with prompt -1 ("none") is made at every step.

    Returns:
        The model's (guided) output at every step.
    """
    outputs = []
    for sigma, following in pairwise(sigmas):
        output = call(model, latent, sigma, prompt)
        if guidance > 1:
            without = call(model, latent, sigma, -1)
            output = without + guidance * (output - without)
        latent = latent + (following - sigma) * output
        outputs.append(output)
    return outputs
