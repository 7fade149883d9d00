"""The settings that peers are measured with."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from torch import nn

from lesa_framework.errors import PeerError
from lesa_framework.measure.cells import Choice
from lesa_framework.measure.counting import Call, Tally
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.peer_settings import PeerChooser
from lesa_framework.measure.results import Kind

WHOLE = Tally([Call(3, 300, 310)] * 6)


@dataclass(frozen=True)
class Every:
    """A peer with one setting."""

    interval: int
    name: str = "every"

    @property
    def settings(self):
        return {"interval": self.interval}

    @contextmanager
    def attach(self, pipe):
        yield


class Family:
    name = "every"

    def refusal(self, pipe):
        return None

    def ladders(self, pipe, workload):
        return [[Every(2), Every(3)]]


def contender(nfe: int | None = 2) -> Contender:
    return Contender("every_2", Kind.PEER, "every", nfe, 6, peer=Family())


def chooser(tally: Tally | None = WHOLE) -> PeerChooser:
    sampling = SimpleNamespace(pipe=SimpleNamespace(transformer=nn.Identity()), sample=lambda *_: None)
    return PeerChooser(sampling, [], tally, 6)


def test_a_peer_of_an_earlier_launch_is_found_by_its_settings():
    assert chooser().peer(contender(), Choice(settings={"interval": 3})) == Every(3)


def test_settings_that_are_no_longer_offered_are_an_error_with_a_remedy():
    with pytest.raises(PeerError, match=r"no longer offers its settings .* Begin with --fresh"):
        chooser().peer(contender(), Choice(settings={"interval": 9}))


def test_other_methods_have_no_peer():
    plain = Contender("fewer_steps_2", Kind.FEWER_STEPS, "fewer_steps", 2, 2)
    assert chooser().peer(plain, None) is None


@pytest.mark.parametrize(("tally", "nfe"), [(None, 2), (WHOLE, None)])
def test_where_work_is_not_counted_nothing_is_matched(tally, nfe):
    assert "cannot be counted" in chooser(tally).choose(contender(nfe), Family()).error
