"""Configurations, and a call, for the tiny FLUX."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import Tap
from lesa_framework.testing.tiny_pipeline import noise

every_tap = pytest.mark.parametrize("tap", [tap.value for tap in Tap])


def config(predictor="reuse", tap="pre_head", schedule=None, **settings):
    return lesa.load_config(
        {
            "schedule": schedule or {"kind": "fixed_interval", "interval": 4},
            "predictor": {"kind": predictor, **settings},
            "backbone": {"tap": tap},
        }
    )


ALWAYS = {"kind": "always"}


def call(model, latent, sigma, prompt):
    batch, tokens, _ = latent.shape
    grid = torch.cartesian_prod(torch.zeros(1), torch.arange(2.0), torch.arange(tokens / 2))
    return model(
        hidden_states=latent,
        timestep=torch.full((batch,), sigma),
        encoder_hidden_states=noise((batch, 3, 96), prompt),
        pooled_projections=noise((batch, 64), prompt),
        txt_ids=torch.zeros(3, 3),
        img_ids=grid,
        return_dict=False,
    )[0]


@contextmanager
def nameless(_name):
    """Stands in for `cache_context` where a pipeline never calls it."""
    yield
