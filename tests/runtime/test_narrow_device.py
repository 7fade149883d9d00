"""A run on a device without float64, such as MPS."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
from lesa_framework.testing import TinyDiT, TinyPipeline, TinyScheduler, pretended_device
from tests.narrow import WithoutFloat64


class There(TinyScheduler):
    """Its numbers are on the device, as those of diffusers' schedulers are."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def set_timesteps(self, num_inference_steps: int) -> None:
        super().set_timesteps(num_inference_steps)
        self.sigmas = self.sigmas.to(self._device)
        self.timesteps = 1000 * self.sigmas[:-1]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("kind", ["reuse", "taylorseer", "hicache", "foca", "spectrum"])
def test_a_run_needs_no_float64(kind):
    config = {"schedule": {"kind": "steps", "compute": [0, 1, 2, 6]}, "predictor": {"kind": kind}}
    with pretended_device() as device, WithoutFloat64():
        pipe = TinyPipeline(TinyDiT().to(device.device), There(device.device))
        with lesa.accelerate(pipe, config) as session:
            pipe(num_inference_steps=9)
        assert session.report.plan() == "FFFPPPFPP"
