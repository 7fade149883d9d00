"""The device that is not there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lesa_framework.testing import pretended_device


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("item", lambda x: x[0, 0].item()),
        ("bool", lambda x: bool((x > 0).all())),
        ("float", lambda x: float(x.sum())),
        ("list", lambda x: x.tolist()),
        ("numpy", lambda x: x.numpy()),
        ("cpu", lambda x: x.cpu()),
        ("to the device", lambda x: torch.ones(2, 3).to(x.device)),
        ("numbers", lambda x: torch.tensor([1.0, 2.0], device=x.device)),
        ("numbers like it", lambda x: x.new_tensor([1.0])),
        ("copied into", lambda x: x.copy_(torch.ones(2, 3))),
        ("mask", lambda x: x[x > 1]),
        ("nonzero", lambda x: x.nonzero()),
        ("equal", lambda x: torch.equal(x, x)),
    ],
)
def test_what_waits_is_found_where_it_is(name, act):
    with pretended_device() as device:
        act(torch.zeros(2, 3, device=device.device) + 1)
    (wait,) = device.waits
    assert wait.stack[0].startswith(__file__)
    assert str(wait) == f"{wait.what} at {wait.stack[0]}"


def test_what_does_not_wait():
    with pretended_device() as device:
        here = torch.arange(6.0).view(2, 3)
        x = here.to(device.device, non_blocking=True)
        x[0].add_(1.0)
        x.add_(torch.tensor(2.0))
        assert torch.as_tensor(x, dtype=torch.float64, device=x.device).device == device.device
        y = nn.functional.scaled_dot_product_attention(*(x.view(1, 1, 2, 3),) * 3)
        assert (x.device, y.device) == (device.device, device.device)
        assert torch.where(x > 0, x, 0 * x).isfinite().shape == (2, 3)
        back = x.to("cpu", non_blocking=True)
    assert device.waits == []
    assert torch.equal(back, torch.tensor([[3.0, 4.0, 5.0], [5.0, 6.0, 7.0]]))


def test_models_can_be_moved_there_and_stay_as_they_are():
    model = nn.Linear(3, 3)
    expected = model(torch.ones(1, 3))
    with pretended_device() as device:
        there = model.to(device.device)
        found = there(torch.ones(1, 3, device=device.device)).to("cpu", non_blocking=True)
    assert torch.equal(found, expected)


def test_its_tensors_are_of_no_use_outside():
    with pretended_device() as device:
        x = torch.zeros(2, device=device.device)
    with pytest.raises(RuntimeError, match="outlived"):
        x + 1
