from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partialmethod

import pytest

from lesa_framework.testing import check_peer


@dataclass(frozen=True)
class Told:
    """A cache that is told its steps, and may leave something behind."""

    name: str = "told"
    settings: dict = field(default_factory=lambda: {"interval": 2})
    leaves: str = ""

    @contextmanager
    def attach(self, pipe):
        model, made, call = pipe.transformer, type(pipe), type(pipe).__call__
        model.forward = model.forward  # an attribute of the instance, where the class's own was
        made.__call__ = partialmethod(call)
        try:
            yield
        finally:
            if self.leaves != "in the class":
                made.__call__ = call
            if self.leaves != "in the model":
                del model.forward
            if self.leaves == "in the pipeline":
                pipe.cache = "on"
            if self.leaves == "in a module":
                model.proj_out = copy.deepcopy(model.proj_out)


@dataclass(frozen=True)
class Family:
    peer: Told
    name: str = "told"
    says: object = None

    def refusal(self, pipe):
        return self.says

    def at(self, steps, pipe, workload):
        return self.peer


GOOD = Family(Told())


def test_a_good_one_passes_and_a_refusal_is_given_back():
    assert check_peer(GOOD) is None
    assert check_peer(replace(GOOD, says="knows only FLUX.")) == "knows only FLUX."


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (replace(GOOD, name=""), "it has no name"),
        (replace(GOOD, says=True), "refusal gave True"),
        (replace(GOOD, peer=Told(leaves="in the model")), "it leaves the model changed"),
        (replace(GOOD, peer=Told(leaves="in a module")), "it leaves the model changed"),
        (replace(GOOD, peer=Told(leaves="in the pipeline")), "it leaves the pipeline changed: cache"),
        (replace(GOOD, peer=Told(leaves="in the class")), "it leaves the class TinyPipeline changed: __call__"),
        (replace(GOOD, peer=Told(name="")), "the peer has no name"),
        (replace(GOOD, peer=Told(settings={"a": []})), "settings are numbers and text"),
    ],
)
def test_what_is_wrong_is_named(family, message):
    with pytest.raises(AssertionError, match=message):
        check_peer(family)
