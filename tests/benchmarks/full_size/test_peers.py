"""Peers are searched for once, within a limit."""

from benchmarks.full_size.cases import FLUX, paper_steps
from benchmarks.full_size.measure import fingerprint
from benchmarks.full_size.peers import peers_of, uncached
from benchmarks.full_size.trial import row_of
from lesa_framework.plugin.manager import plugins
from tests.benchmarks.full_size.races import STEPS, race, short

NAME = "diffusers_first_block_cache"


def _peer(seconds, said):
    return next(peer for peer in peers_of(short(FLUX), seconds, said.append) if peer.name == NAME)


def test_there_is_a_row_for_every_family():
    assert [peer.name for peer in peers_of(FLUX, 1.0, print)] == list(plugins().registry.peers.names())


def test_a_peer_does_about_the_work_of_the_headline():
    said = []
    running, _ = race(FLUX, extra=[_peer(60.0, said)])
    running.first_round()
    assert running.next_round()
    row = row_of(running.trials[-1], running.uncached)
    assert row.error is None
    assert row.nfe is None
    assert row.settings["threshold"] > 0
    # The target is the blocks' work; embeddings and head are counted here too.
    assert row.work_steps < len(paper_steps(7, STEPS)) + 1.5
    assert len(said) == 1
    assert len(row.samples) == 2


def test_a_search_without_time_says_so_and_leaves_nothing():
    running, _ = race(FLUX, extra=[_peer(-1.0, [])])
    clean = fingerprint(running.denoiser.transformer)
    running.first_round()
    row = row_of(running.trials[-1], running.uncached)
    assert row.error.startswith("PeerError: no settings")
    assert fingerprint(running.denoiser.transformer) == clean


def test_a_search_that_is_cut_short_takes_the_best_so_far(monkeypatch):
    running, _ = race(FLUX, extra=[_peer(0.5, [])])
    clock = iter(range(10**6))
    calls_a_second = 10 * STEPS
    monkeypatch.setattr("benchmarks.full_size.peers.time.monotonic", lambda: next(clock) / calls_a_second)
    with running.methods[-1].attach(running.denoiser) as attached:
        pass
    assert attached.settings["threshold"] > 0
    assert "cut short" in attached.note


def test_the_bare_models_work_follows_from_one_step():
    running, _ = race(FLUX)
    tally = uncached(running.denoiser)
    assert len(tally.calls) == STEPS
    assert {call.blocks for call in tally.calls} == {4}
