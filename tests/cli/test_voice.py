"""Of several processes the first one prints, and one tells why they ended."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from torch.distributed import TCPStore

from lesa_framework import LesaError
from lesa_framework.cli import console, run, stopping, voice


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch):
    """`as_rank(1)` makes this process one of two; `as_rank(1, store)` one whose launcher keeps the store."""

    def become(rank: int, store: TCPStore | None = None) -> None:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("MASTER_ADDR", "localhost")
        monkeypatch.setenv("MASTER_PORT", str(store.port if store else 9))
        monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", str(store is not None))
        monkeypatch.setattr(voice._Command, "number", 0)
        monkeypatch.setattr(voice._Command, "tells", None)

    return become


@pytest.fixture
def store():
    """What a launcher keeps."""
    return TCPStore("localhost", 0, is_master=True)


def test_a_fault_of_all_is_told_once(as_rank, store, capsys):
    told = []
    for rank in (1, 0):
        as_rank(rank, store)
        assert run(["plan", "--config", "nowhere.yaml"]) == 2
        told.append(capsys.readouterr().err.count("error: config: there is no file 'nowhere.yaml'"))
    assert told == [1, 0]


def test_the_next_command_has_a_voice_again(as_rank, store, capsys):
    as_rank(1, store)
    for _ in range(2):
        assert run(["plan", "--config", "nowhere.yaml"]) == 2
        assert "nowhere.yaml" in capsys.readouterr().err


def test_the_fault_of_one_is_told_and_not_what_it_means_for_the_others(as_rank, store, monkeypatch, capsys):
    as_rank(1, store)
    voice.begin()
    monkeypatch.setattr("lesa_framework.processes.launched", lambda: None)  # no group
    with pytest.raises(LesaError), console.together():
        raise LesaError("the cause")
    as_rank(0, store)
    voice.begin()
    assert not voice.tells()


@pytest.mark.parametrize("port", ["1", "none"])
def test_without_a_launchers_store_each_tells(as_rank, monkeypatch, port, capsys):
    as_rank(1)
    assert run(["plan", "--config", "nowhere.yaml"]) == 2
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")  # and it cannot be reached
    monkeypatch.setenv("MASTER_PORT", port)
    monkeypatch.setattr(voice, "_PATIENCE", voice.timedelta(milliseconds=10))
    assert run(["plan", "--config", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err.count("nowhere.yaml") == 2


def test_others_are_silent(as_rank, capsys):
    arguments = ["plan", "--schedule", "always"]
    for rank in range(2):
        as_rank(rank)
        run([*arguments, "--nonsense"])
        assert ("No such option" in capsys.readouterr().err) == (rank == 0)
        with voice.of_first():
            print("results")
            sys.stderr.write("notes")
        assert capsys.readouterr() == (("results\n", "notes") if rank == 0 else ("", ""))


def test_what_others_print_to_may_be_kept(as_rank):
    as_rank(1)
    with voice.of_first():
        kept = sys.stderr
    assert kept.write("later") == 5


@pytest.mark.parametrize(
    ("rank", "number", "told"),
    [(0, signal.SIGINT, True), (1, signal.SIGINT, False), (0, signal.SIGTERM, False), (None, signal.SIGTERM, True)],
)
def test_an_end_at_once_is_told_by_one(as_rank, rank, number, told, monkeypatch):
    if rank is not None:
        as_rank(rank)
    assert stopping._is_told(number) == told


def test_a_stop_is_told_by_the_first(as_rank, capsys):
    for rank in range(2):
        as_rank(rank)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lesa_framework.cli._lesa", lambda _: os.kill(os.getpid(), signal.SIGINT))
            before = signal.signal(signal.SIGINT, stopping._stop)
            try:
                assert run([]) == 130
            finally:
                signal.signal(signal.SIGINT, before)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert capsys.readouterr().err == ("stopped.\n" if rank == 0 else "")


def test_one_process_where_several_were_asked_for_is_noted(monkeypatch, capsys):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "29500")
    with console.together() as world:
        assert world.size == 1
    assert "--multi_gpu" in capsys.readouterr().err


def test_the_line_is_that_of_the_command_and_not_of_the_process(monkeypatch):
    monkeypatch.setattr("sys.argv", ["notebook", "--kernel", "7"])
    run(["plan", "--config", "no where.yaml"])
    assert voice.line() == "lesa plan --config 'no where.yaml'"
    voice.begin()
    assert voice.line() == "lesa --kernel 7"
