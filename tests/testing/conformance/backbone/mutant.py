"""Adapters, models and engines that are each wrong in one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from torch import nn

from lesa_framework import Tap
from lesa_framework.testing import TinyDiT, TinyDiTAdapter
from lesa_framework.testing.tiny_pipeline import noise


def call(model, latent, sigma, prompt):
    return model(latent, sigma, noise((latent.shape[0], 3, 4), prompt), return_dict=False)[0]


def make_latent(size):
    return noise((1, 6 * size, 4), 0)


class Good(TinyDiTAdapter):
    taps = (Tap.PRE_HEAD,)


@dataclass(frozen=True)
class Mutant:
    """What is wrong, and the checks that say so; no other may."""

    name: str
    breaks: tuple[str, ...]
    message: str
    adapter: type[TinyDiTAdapter] = Good
    make_model: Callable[[], nn.Module] = TinyDiT
    call: Callable = call
    make_latent: Callable = make_latent
    refused: tuple[Callable, ...] = ()
    engine: Callable[[pytest.MonkeyPatch], None] = field(default=lambda _: None)
    spreads: bool = False  # what it breaks is so basic that later checks fail too
