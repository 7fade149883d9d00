"""The twins that are compiled, of every adapter's model: with its blocks and without, they give the model's output."""

from __future__ import annotations

import pytest
import torch

from lesa_framework import Tap
from lesa_framework.runtime.model.twins import Twin
from lesa_framework.runtime.model.wrapping import tensors
from tests.matrix.case import Case
from tests.matrix.cases import CASES
from tests.matrix.test_matrix import pytestmark  # noqa: F401 - the same warnings


def same(found, expected) -> bool:
    return all(torch.equal(*pair) for pair in zip(tensors(found), tensors(expected), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_twins_give_the_output_of_the_model(case: Case):
    model, adapter, latent = case.make_model(), case.adapter(), case.make_latent(1)
    calls = []
    model.register_forward_hook(lambda _, args, kwargs, output: calls.append((args, kwargs, output)), with_kwargs=True)
    with torch.no_grad():
        case.call(model, latent, 0.5, 0)
        [(args, kwargs, expected)] = calls
        for tap in set(adapter.taps) - {Tap.OUTPUT}:
            full, bypassed = (Twin(model, adapter, tap, bypassed=bypassed) for bypassed in (False, True))
            output, read, count = full.run(*full.arguments(model, latent, None), args, kwargs)
            assert (same(output, expected), count) == (True, 1)
            output, _, count = bypassed.run(*bypassed.arguments(model, latent, read), args, kwargs)
            assert (same(output, expected), count) == (True, 1)
            output, _, _ = bypassed.run(*bypassed.arguments(model, latent, 2 * read + 1), args, kwargs)
            assert not same(output, expected)
