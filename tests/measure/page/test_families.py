from __future__ import annotations

from lesa_framework.measure.page.families import families
from lesa_framework.measure.results import Kind
from tests.measure.page.test_verdicts import PLAIN, row


def test_families_keep_their_colours_next_to_any_others() -> None:
    peers = [row(f"p{number}", f"p{number}", 1.0, Kind.PEER) for number in range(9)]
    few = families([row("lesa-n7", "lesa", 1.0)])
    many = families([*peers, PLAIN, row("lesa-n7", "lesa", 1.0), row("reuse", "reuse", 1.0)])
    assert few["lesa"] == many["lesa"]
    assert list(many)[:3] == ["lesa", "reuse", "fewer_steps"]
    assert [many[f"p{number}"].shape for number in range(9)] == ["diamond"] * 7 + ["triangle"] * 2
    assert len({(family.colour, family.shape) for family in many.values()}) == len(many) == 12
    assert many["fewer_steps"].label == "fewer steps"


def test_a_peer_does_not_take_the_colour_of_the_predictor_that_it_is_called_like() -> None:
    assert families([row("x", "lesa", 1.0, Kind.PEER)])["lesa"].colour != "0"
