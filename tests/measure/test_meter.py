from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lesa_framework.measure.meter import peak_memory
from lesa_framework.sizing.meter import Meter
from tests.fixtures_flux import new_transformer

KILO = 1024
CPU = torch.device("cpu")


def test_an_operator_is_counted_each_time_and_once_a_shape():
    x, weight = torch.randn(3, 4), torch.randn(5, 4)
    with Meter() as meter:
        totals = []
        for rows in (3, 3, 2):
            F.linear(x[:rows], weight)
            totals.append(meter.flops)
    one = 2 * 4 * 5
    assert totals == [3 * one, 6 * one, 8 * one]


def test_attention_is_two_products():
    q, kv = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 7, 8)
    with Meter() as meter:
        F.scaled_dot_product_attention(q, kv, kv)
        F.scaled_dot_product_attention(q, kv, kv)
    assert meter.flops == 2 * (2 * 2 * 2 * 5 * 7 * 8)


def test_an_einsum_goes_by_its_equation_too():
    x = torch.randn(4, 4)
    with Meter() as meter:
        torch.einsum("ij,ij->ij", x, x)
        torch.einsum("ij,jk->ik", x, x)
    assert meter.flops == 2 * 4**3


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_model_counts_as_with_torchs_counter_but_for_the_attention_it_does_not_know(mode):
    model = new_transformer()
    text, image, heads, channels = 3, 4, 2, 8
    call = {
        "hidden_states": torch.randn(1, image, 32),
        "encoder_hidden_states": torch.randn(1, text, 96),
        "pooled_projections": torch.randn(1, 64),
        "timestep": torch.tensor([0.5]),
        "img_ids": torch.zeros(image, 3),
        "txt_ids": torch.zeros(text, 3),
    }
    with mode():
        with FlopCounterMode(display=False) as theirs:
            expected = model(**call).sample
        with Meter() as ours:
            for _ in range(2):
                assert torch.equal(model(**call).sample, expected)
    attention = 3 * 4 * heads * (text + image) ** 2 * channels
    assert ours.flops == 2 * (theirs.get_total_flops() + attention)


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
    assert peak.most == 25 * KILO
    assert before.nbytes == 64 * KILO


def test_views_and_writes_in_place_make_nothing():
    with peak_memory(CPU) as peak:
        whole = new(8)
        half = whole[: 4 * KILO].view(2, -1)
        half.add_(1)
        whole.copy_(whole.clone())
    assert peak.most == 16 * KILO


def test_what_died_while_it_was_watched_but_was_there_before_does_not_count_back():
    before = new(100)
    with peak_memory(CPU) as peak:
        del before
        new(3)
    assert peak.most == 3 * KILO
