"""What several processes exchange, without any."""

from __future__ import annotations

import pytest
import torch
from torch import distributed

from lesa_framework.errors import LesaError
from lesa_framework.processes import World, device_of_process
from lesa_framework.testing import pretended_device
from tests.narrow import WithoutFloat64


def test_a_sum_needs_no_float64_on_the_device_and_leaves_its_values_alone(monkeypatch):
    monkeypatch.setattr(distributed, "all_reduce", lambda total, group: total.mul_(2))
    both = World(0, 2, group=object())  # type: ignore[arg-type] # it is passed on
    with pretended_device() as device, WithoutFloat64():
        values = torch.tensor([1.0, 2.0]).to(device.device)
        assert both.sum(values).tolist() == [2.0, 4.0]
        assert values.tolist() == [1.0, 2.0]
    wide = torch.tensor([1.0], dtype=torch.float64)
    assert both.sum(wide).tolist() == [2.0]
    assert wide.tolist() == [1.0]


def test_what_is_exchanged_is_on_the_cpu_whatever_the_default_is(monkeypatch):
    monkeypatch.setattr(distributed, "all_gather", lambda parts, mine, group: [part.copy_(mine) for part in parts])
    monkeypatch.setattr(distributed, "all_reduce", lambda total, group: total.mul_(2))
    both, rows = World(0, 2, group=object()), torch.tensor([[1.0], [2.0]])  # type: ignore[arg-type] # it is passed on
    with torch.device("meta"):
        assert both.rows(rows).tolist() == [[1.0], [2.0]] * 2
        assert (both.mean(3.0, 0.5), both.of_first(4.0)) == (3.0, 8.0)


def test_a_process_that_is_gone_without_a_word_is_explained(monkeypatch):
    def lost(total, group):
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(distributed, "all_reduce", lost)
    both = World(0, 2, group=object())  # type: ignore[arg-type] # it is passed on
    with pytest.raises(LesaError, match=r"^process 0 of 2: another process has ended .*killed.*same command resumes"):
        both.wait()


@pytest.mark.parametrize(
    ("rank", "asked", "found"),
    [
        ("1", None, "cuda:1"),
        ("1", "cuda", "cuda:1"),
        ("1", "cpu", "cpu"),
        ("1", "cuda:0", "cuda:0"),
        ("2", None, None),
        ("first", "cuda", "cuda"),
        (None, "cuda", "cuda"),
    ],
)
def test_each_process_of_a_machine_has_a_gpu_of_its_own_where_there_are_enough(monkeypatch, rank, asked, found):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert device_of_process(asked) == found
