"""The end of requests: what waits for it, who is told, and what is freed."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import suppress

import pytest

from lesa_framework import Observer
from tests.runtime.sessions import cached, pipeline


@pytest.mark.parametrize(
    "act",
    [
        lambda requests, session: requests.close(),
        lambda requests, session: session.detach(),
    ],
    ids=["close", "detach"],
)
def test_ends_wait_for_the_call_in_progress(act):
    pipe = pipeline()
    keys = list(pipe.transformer.state_dict())
    session = cached(pipe)
    requests, done = session._requests, threading.Event()
    with requests.lock:
        thread = threading.Thread(target=lambda: (act(requests, session), done.set()))
        thread.start()
        assert not done.wait(0.1)
        assert "forward" in vars(pipe.transformer)
    assert done.wait(60)
    thread.join()
    session.detach()
    assert list(pipe.transformer.state_dict()) == keys


def test_a_report_does_not_wait_so_that_an_observer_may_wait_for_it():
    pipe = pipeline()
    read: list[int] = []

    class Watch(Observer):
        def lesa_step_end(self, record, latent, feature):
            thread = threading.Thread(target=lambda: read.append(session.report.num_steps))
            thread.start()
            thread.join(60)

    with cached(pipe, observers=[Watch()]) as session:
        pipe(num_inference_steps=8)
    assert read == [1, 2, 3, 4, 5, 6, 7, 8]


def test_observers_are_told_of_a_call_when_the_next_one_begins():
    told: list[int] = []

    class Watch(Observer):
        def lesa_run_start(self, run):
            told.append(0)

        def lesa_run_end(self, report):
            told.append(report.num_steps)

    pipe = pipeline()
    with cached(pipe, observers=[Watch()]):
        pipe(num_inference_steps=9)
        pipe(num_inference_steps=8)
        assert told == [0, 9, 0]
    assert told == [0, 9, 0, 8]


def test_closing_frees_what_every_request_holds():
    held: list[weakref.ref[object]] = []

    class Watch(Observer):
        def lesa_step_end(self, record, latent, feature):
            held.append(weakref.ref(feature.untyped_storage()))
            held.append(weakref.ref(latent))

    def break_off(pipe, step, latent):
        if step == 9:
            raise InterruptedError
        return latent

    pipe = pipeline()
    session = cached(pipe, observers=[Watch()], callers=False)
    with suppress(InterruptedError):  # at its end a run holds nothing
        pipe(callback=break_off)
    assert any(feature() is not None for feature in held[::2])
    assert any(latent() is not None for latent in held[1::2])
    session._requests.close()
    assert all(each() is None for each in held)
    session.detach()


def test_a_threads_own_request_ends_with_its_thread():
    told: list[int] = []

    class Watch(Observer):
        def lesa_run_end(self, report):
            told.append(report.num_steps)

    pipe = pipeline()
    with cached(pipe, observers=[Watch()], callers=False) as session:
        thread = threading.Thread(target=lambda: pipe(num_inference_steps=6))
        thread.start()
        thread.join()
        gc.collect()
        assert session.report.num_steps == 6
        assert told == [6]
        newest = session._requests._newest
        assert newest is not None
        assert newest._branches == {}
    assert told == [6]


@pytest.mark.parametrize("in_threads", [False, True], ids=["in a row", "in threads"])
def test_runs_leave_nothing_behind(in_threads: bool):
    pipe = pipeline()

    def objects_after(runs: int) -> int:
        for _ in range(runs):
            if in_threads:
                thread = threading.Thread(target=pipe)
                thread.start()
                thread.join()
            else:
                pipe()
        gc.collect()
        return len(gc.get_objects())

    with cached(pipe):
        before = objects_after(3)
        assert objects_after(20) < before + 10, "less than one a run"
