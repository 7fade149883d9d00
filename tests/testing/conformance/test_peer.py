from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from lesa_framework.testing import check_peer


@dataclass(frozen=True)
class Told:
    """A cache that is told its steps, and may leave something behind."""

    name: str = "told"
    settings: dict = field(default_factory=lambda: {"interval": 2})
    leaves: bool = False

    @contextmanager
    def attach(self, pipe):
        model = pipe.transformer
        model.forward = model.forward  # an attribute of the instance, where the class's own was
        yield
        if not self.leaves:
            del model.forward


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
        (replace(GOOD, peer=Told(leaves=True)), "it leaves the model changed"),
        (replace(GOOD, peer=Told(settings={"a": []})), "settings are numbers and text"),
    ],
)
def test_what_is_wrong_is_named(family, message):
    with pytest.raises(AssertionError, match=message):
        check_peer(family)
