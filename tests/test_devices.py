from __future__ import annotations

import pytest
import torch

from lesa_framework import ConfigError, HistoryPlace, Reuse, Strategy, attach_strategy
from lesa_framework.devices import available_devices, check_place
from lesa_framework.testing import TinyDiT, even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages


@pytest.mark.parametrize("device", [None, *available_devices()])
def test_a_device_that_is_there_is_accepted(device):
    check_place(HistoryPlace(None if device is None else torch.device(device)))


@pytest.mark.parametrize("device", ["meta", "cuda:99", "xpu:99"])
def test_a_device_that_cannot_keep_features_is_refused_with_those_that_can(device):
    message = f"engine.history.device: '{device}' cannot keep features on this machine. Available: cpu.* Leave it out"
    with pytest.raises(ConfigError, match=message):
        check_place(HistoryPlace(torch.device(device)))


def test_a_session_refuses_it_before_it_touches_the_model():
    model = TinyDiT()
    before = set(model.__dict__)
    strategy = Strategy(ComputeSteps((0,)), EqualStages(), Reuse(), history=HistoryPlace(torch.device("meta")))
    with pytest.raises(ConfigError, match="'meta' cannot keep features"):
        attach_strategy(model, strategy, sigmas=even_grid(4))
    assert set(model.__dict__) == before
