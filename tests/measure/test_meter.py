from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lesa_framework.measure.meter import FlopMeter
from tests.fixtures_flux import new_transformer


def test_an_operator_is_counted_each_time_and_once_a_shape():
    x, weight = torch.randn(3, 4), torch.randn(5, 4)
    with FlopMeter() as meter:
        totals = []
        for rows in (3, 3, 2):
            F.linear(x[:rows], weight)
            totals.append(meter.total)
    one = 2 * 4 * 5
    assert totals == [3 * one, 6 * one, 8 * one]


def test_attention_is_two_products():
    q, kv = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 7, 8)
    with FlopMeter() as meter:
        F.scaled_dot_product_attention(q, kv, kv)
        F.scaled_dot_product_attention(q, kv, kv)
    assert meter.total == 2 * (2 * 2 * 2 * 5 * 7 * 8)


def test_an_einsum_goes_by_its_equation_too():
    x = torch.randn(4, 4)
    with FlopMeter() as meter:
        torch.einsum("ij,ij->ij", x, x)
        torch.einsum("ij,jk->ik", x, x)
    assert meter.total == 2 * 4**3


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
        with FlopMeter() as ours:
            for _ in range(2):
                assert torch.equal(model(**call).sample, expected)
    attention = 3 * 4 * heads * (text + image) ** 2 * channels
    assert ours.total == 2 * (theirs.get_total_flops() + attention)
