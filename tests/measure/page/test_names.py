from __future__ import annotations

import pytest

from lesa_framework.measure import formats
from lesa_framework.measure.page.families import families
from lesa_framework.measure.page.names import short_names
from lesa_framework.measure.results import Kind
from tests.measure.page.samples import PICTURES, sample_results
from tests.measure.page.test_verdicts import PLAIN, row


def test_short_names_drop_the_common_prefix() -> None:
    names = short_names(sample_results().of_model(PICTURES))
    assert names["ref-flux-lesa-n7"] == "lesa-n7"
    assert names["fewer_steps_8"] == "8 plain steps"
    assert names["diffusers-taylorseer"] == "diffusers-taylorseer"


def test_a_name_is_never_shortened_to_nothing() -> None:
    assert short_names([row("lesa", "lesa", 1.0), row("lesa-n7", "lesa", 1.0)])["lesa"] == "lesa"
    assert short_names([row("ref-lesa", "lesa", 1.0)]) == {"ref-lesa": "ref-lesa"}
    assert set(short_names([row("a-b", "a", 1.0), row("a-c", "a", 1.0)]).values()) == {"b", "c"}


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


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formats.gain(-0.123), "−0.12"),
        (formats.gain(12.34), "+12.3"),
        (formats.steps(9.84), "9.8"),
        (formats.steps(10.0), "10"),
        (formats.size(0), "0"),
        (formats.size(4 * 2**20), "4.00 MiB"),
        (formats.size(300 * 2**20), "300 MiB"),
        (formats.size(3 * 2**30), "3.00 GiB"),
        (formats.operations(2.1e12), "2.10 T"),
        (formats.operations(5e6), "5.00 M"),
        (formats.seconds(0.0581), "0.058"),
        (formats.seconds(12.34), "12.3"),
        (formats.decimals(-1.005, 1), "−1.0"),
    ],
)
def test_numbers(written: str, expected: str) -> None:
    assert written == expected
