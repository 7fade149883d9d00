"""What models return their output in."""

from __future__ import annotations

import weakref
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from lesa_framework import UnsupportedBackboneError
from lesa_framework.runtime.model.wrapping import tensors, unwrap, wrapper_like


@dataclass
class Output:
    velocity: Tensor
    cache: object = None


Named = namedtuple("Named", "sample state")

ONE, OTHER = torch.ones(2, 3), torch.zeros(2, 3)
WRAPPERS = [
    ONE,
    (ONE,),
    (ONE, None),
    Named(ONE, None),
    Output(ONE),
    [ONE[0], ONE[1]],
    ([ONE[0], ONE[1]],),
    Output([ONE[0], ONE[1]]),
]


@pytest.mark.parametrize("returned", WRAPPERS, ids=lambda returned: type(returned).__name__)
def test_another_output_is_wrapped_in_the_same_way(returned):
    assert torch.equal(unwrap(returned), ONE)
    boxed = wrapper_like(returned)(OTHER)
    assert type(boxed) is type(returned)
    assert torch.equal(unwrap(boxed), OTHER)
    assert torch.equal(unwrap(returned), ONE)


@pytest.mark.parametrize("make", [lambda one: (one, None), lambda one: Named(one, None), Output])
def test_a_wrapper_does_not_keep_what_it_was_made_from(make):
    output = torch.ones(3)
    wrap, gone = wrapper_like(make(output)), weakref.ref(output)
    del output
    assert gone() is None
    assert torch.equal(unwrap(wrap(OTHER)), OTHER)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ((ONE, OTHER), r"tuple of Tensor\(2, 3\), Tensor\(2, 3\); only one output can be cached. Take the tap 'pre_h"),
        (Output(ONE, "cache"), r"Output of Tensor\(2, 3\), str"),
        ((), "tuple of nothing"),
        ({"sample": ONE}, "the model returned dict. Valid: a tensor, a list"),
        ([ONE, ONE[0]], r"a list of Tensor\(2, 3\), Tensor\(3,\) cannot be cached"),
        ([], "a list of nothing cannot be cached"),
    ],
)
def test_what_cannot_be_put_back_is_refused(returned, message):
    with pytest.raises(UnsupportedBackboneError, match=message):
        unwrap(returned)


@pytest.mark.parametrize("returned", WRAPPERS)
def test_the_output_is_found(returned):
    assert sum(float(tensor.sum()) for tensor in tensors(returned)) == 6.0


def test_every_tensor_is_found_in_order():
    found = tensors(({"a": ONE}, [OTHER, 3], Output(ONE, cache="text"), None))
    assert [float(tensor.sum()) for tensor in found] == [6.0, 0.0, 6.0]
    assert tensors("nothing") == []
