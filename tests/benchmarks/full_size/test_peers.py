"""Peers are searched for once, within a limit."""

from benchmarks.full_size.cases import FLUX, paper_steps
from tests.benchmarks.full_size.benches import STEPS, measure

NAME = "diffusers_first_block_cache"


def test_a_peer_does_about_the_work_of_the_headline():
    results, said = measure(FLUX, NAME, rounds=2)
    row, details = results.rows[-1], results.models[0].details[NAME]
    assert row.error is None
    assert row.settings["threshold"] > 0
    assert row.nfe == len(paper_steps(7, STEPS))
    assert row.work <= row.nfe
    assert len(details.seconds) == 2
    assert said.count("settings of peers") == 1


def test_a_search_without_time_says_so(monkeypatch):
    monkeypatch.setattr("benchmarks.full_size.bench._SEARCHING", -1.0)
    results, _ = measure(FLUX, NAME)
    assert results.rows[-1].error.startswith("no settings were found")
    assert results.rows[0].error is None
