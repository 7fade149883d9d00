from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest
from torch import nn

from lesa_peers.pristine import pristine


class Block(nn.Linear):
    pass


class Pipe:
    def __init__(self):
        self.transformer = nn.Sequential(Block(2, 2), nn.ReLU())
        self.steps = 3

    def __call__(self):
        return "own"


@pytest.fixture
def pipe():
    return Pipe()


def spoil(pipe):
    block = pipe.transformer[0]
    block.forward = functools.partial(print, block)
    block.extra = 1
    block.register_forward_hook(print)
    pipe.transformer[1] = nn.Identity()
    pipe.transformer.training = False
    pipe.context = object()
    del pipe.steps
    Pipe.__call__ = lambda self: "patched"
    Pipe.is_cached = True
    Block.forward = lambda self, x: x


def test_everything_that_was_set_added_and_deleted_is_as_before(pipe):
    block, relu = pipe.transformer
    own_call = Pipe.__dict__["__call__"]
    attributes = {id(module): dict(vars(module)) for module in pipe.transformer.modules()}

    def spoilt():
        with pristine(pipe):
            spoil(pipe)
            assert pipe() == "patched"
            raise KeyError

    with pytest.raises(KeyError):
        spoilt()
    assert list(pipe.transformer) == [block, relu]
    assert not block._forward_hooks
    assert {id(module): dict(vars(module)) for module in pipe.transformer.modules()} == attributes
    assert vars(pipe) == {"transformer": pipe.transformer, "steps": 3}
    assert Pipe.__dict__["__call__"] is own_call
    assert "is_cached" not in vars(Pipe)
    assert "forward" not in vars(Block)


def test_what_was_written_into_weights_stays(pipe):
    with pristine(pipe):
        pipe.transformer[0].weight.data.zero_()
    assert not pipe.transformer[0].weight.any()


def test_a_holder_of_a_transformer_will_do():
    holder = SimpleNamespace(transformer=nn.Linear(1, 1))
    with pristine(holder):
        holder.transformer.forward = print
    assert "forward" not in vars(holder.transformer)
