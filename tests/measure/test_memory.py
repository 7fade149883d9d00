from __future__ import annotations

import torch

from lesa_framework.measure.memory import peak_memory

KILO = 1024
CPU = torch.device("cpu")


def new(kilobytes: int) -> torch.Tensor:
    return torch.zeros(kilobytes * KILO, dtype=torch.uint8)


def test_the_most_that_was_alive_at_once():
    before = new(64)
    with peak_memory(CPU) as peak:
        first = new(10)
        del first
        second = new(20)
        third = new(5)
        del second, third
        new(1)
    assert peak.bytes == 25 * KILO
    assert before.nbytes == 64 * KILO


def test_views_and_writes_in_place_make_nothing():
    with peak_memory(CPU) as peak:
        whole = new(8)
        half = whole[: 4 * KILO].view(2, -1)
        half.add_(1)
        whole.copy_(whole.clone())
    assert peak.bytes == 16 * KILO


def test_what_died_while_it_was_watched_but_was_there_before_does_not_count_back():
    before = new(100)
    with peak_memory(CPU) as peak:
        del before
        new(3)
    assert peak.bytes == 3 * KILO
