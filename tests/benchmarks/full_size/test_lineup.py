"""Which methods are timed."""

from benchmarks.full_size.cases import FLUX, HUNYUAN_VIDEO, paper_steps
from benchmarks.full_size.lineup import chosen, line_up
from lesa_framework.measure.results import Kind
from lesa_framework.plugin.manager import plugins


def test_there_is_a_row_for_every_family_of_peers_at_the_headlines_nfe_and_those_that_are_told_come_first():
    peers = [each for each in line_up(FLUX) if each.kind is Kind.PEER]
    registry = plugins().registry
    told = [f"{name}-n7" for name in registry.told_peers.names()]
    assert [each.name for each in peers] == ["floor-n7", *told, *registry.peers.names()]
    assert {each.nfe for each in peers} == {len(paper_steps(7, 50))}


def test_every_interval_has_the_three_predictors():
    names = [each.name for each in line_up(FLUX) if each.kind is not Kind.PEER]
    assert names[0] == "uncached"
    assert {f"{name}-n{n}" for name in ("lesa", "taylorseer", "reuse") for n in (5, 7, 10)} <= set(names)


def test_the_headline_has_every_finite_check():
    checks = {each.name: each.strategy.check_finite for each in line_up(FLUX) if each.name.startswith("lesa-n7")}
    assert checks == {"lesa-n7": True, "lesa-n7-strict": "strict", "lesa-n7-unchecked": False}


def test_where_predicted_steps_skip_the_whole_forward_there_is_no_floor():
    assert "floor-n7" not in [each.name for each in line_up(HUNYUAN_VIDEO)]


def test_the_uncached_run_is_always_chosen():
    assert [each.name for each in chosen(line_up(FLUX), ["reuse-*"])] == [
        "uncached",
        "reuse-n7",
        "reuse-n5",
        "reuse-n10",
    ]
    every = line_up(FLUX)
    assert chosen(every, None) == every
