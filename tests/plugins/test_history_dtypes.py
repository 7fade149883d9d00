"""Every predictor that needs no weights runs on a history with fewer bits, and is what it is on a whole one, nearly."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
from lesa_framework.plugin.manager import plugins


def without_weights() -> list[str]:
    kinds = []
    for kind in plugins().registry.predictors.names():
        try:
            lesa.build_strategy(
                lesa.load_config({"schedule": {"kind": "fixed_interval", "interval": 4}, "predictor": {"kind": kind}})
            )
        except lesa.LesaError:
            continue
        kinds.append(kind)
    return kinds


def test_those_that_are_left_out_need_weights_or_numbers_of_the_model() -> None:
    assert set(plugins().registry.predictors.names()) - set(without_weights()) == {"fitted", "lesa", "l2p"}


@pytest.mark.parametrize("kind", without_weights())
def test_fewer_bits(make_flux, generate, kind):
    pipe = make_flux()

    def run(**history):
        settings = {
            "schedule": {"kind": "fixed_interval", "interval": 4, "warmup": 4},
            "predictor": {"kind": kind},
            "engine": {"history": history},
        }
        with lesa.accelerate(pipe, settings) as session:
            return generate(pipe), session.report

    whole, first = run()
    for dtype, loss in (("float16", 0.01), ("bfloat16", 0.05), ("float8_e4m3fn", 0.4)):
        latents, report = run(dtype=dtype)
        assert report.plan("cond") == first.plan("cond")
        assert not report.fallbacks
        assert report.cache_bytes * 4 == first.cache_bytes * getattr(torch, dtype).itemsize
        assert (latents - whole).norm() < loss * whole.norm()
        assert not torch.equal(latents, whole)
