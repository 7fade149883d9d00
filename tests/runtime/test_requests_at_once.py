"""Servers hear of a request when it has ended, also where another one is in the model, which must not suffer for it."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from lesa_framework import Observer
from lesa_framework.testing import TinyPipeline
from tests.runtime.sessions import cached, fresh, pipeline


class Ends(Observer):
    """Notes the steps of each run that has ended, and fails if they are so many; holds another thread in the model."""

    def __init__(self, failing: int = 0) -> None:
        self.failing, self.told = failing, list[int]()
        self.entered, self.leave = threading.Event(), threading.Event()

    def lesa_step_end(self, record, latent, feature):
        if record.index == 3 and threading.current_thread() is not threading.main_thread():
            self.entered.set()
            assert self.leave.wait(10)

    def lesa_run_end(self, report):
        self.told.append(report.num_steps)
        if report.num_steps == self.failing:
            raise ValueError(f"a run of {report.num_steps} steps")


@contextmanager
def overlapping(ends: Ends, heard: list[int]) -> Iterator[TinyPipeline]:
    """A run of 6 steps has ended while one of 8 was in the model at its step 3; that one goes on when this is left.

    Args:
        ends: The observer.
        heard: Is given what had been told after its step 4.
    """
    pipe, images, go_on = pipeline(), list[Tensor](), threading.Event()

    def after(_: TinyPipeline, step: int, latent: Tensor) -> Tensor:
        if step == 3:
            assert go_on.wait(10)
        if step == 4:
            heard.extend(ends.told)
        return latent

    def enter(_: TinyPipeline, step: int, latent: Tensor) -> Tensor:
        if step == 5:
            other.start()
            assert ends.entered.wait(10)
        return latent

    other = threading.Thread(target=lambda: images.append(TinyPipeline(pipe.transformer)(3, 8, callback=after)))
    with cached(pipe, observers=[ends], at_once=True):
        pipe(num_inference_steps=6, callback=enter)
        assert ends.told == []
        ends.leave.set()
        yield pipe
        go_on.set()
        other.join()
        assert ends.told[-1] == 8
    assert torch.equal(*images, fresh(prompt=3, num_inference_steps=8))


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The last lines of the tracebacks that were printed since it was called last, by us or by Python."""
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)  # pytest's own one does not print
    return lambda: re.findall(r"^\w+(?:Error|Interrupt)\b.*", capsys.readouterr().err, re.MULTILINE)


def test_the_end_of_a_request_is_told_at_the_next_step_of_the_one_that_was_in_the_model():
    heard: list[int] = []
    with overlapping(Ends(), heard):
        pass
    assert heard == [6]


def test_an_observer_that_fails_then_fails_no_other_request(printed: Callable[[], list[str]]):
    with overlapping(Ends(failing=6), []):
        pass
    assert printed() == ["ValueError: a run of 6 steps"]


def test_an_observer_that_fails_then_fails_no_new_request(printed: Callable[[], list[str]]):
    ends = Ends(failing=6)
    with overlapping(ends, []) as pipe:
        assert torch.equal(pipe(num_inference_steps=9), fresh(num_inference_steps=9))
        assert (ends.told, printed()) == ([6, 9], ["ValueError: a run of 6 steps"])


def test_ctrl_c_while_an_observer_is_told_stops_who_tells_it(printed: Callable[[], list[str]]):
    def stop(_: TinyPipeline, step: int, latent: Tensor) -> Tensor:
        raise RuntimeError

    class Pressed(Observer):
        def lesa_run_end(self, report):
            if report.num_steps == 1:
                raise KeyboardInterrupt

    pipe = pipeline()
    with cached(pipe, observers=[Pressed()], at_once=True):
        with pytest.raises(RuntimeError) as kept:
            pipe(callback=stop)
        with pytest.raises(KeyboardInterrupt):
            pipe()
        assert torch.equal(pipe(), fresh())
    assert kept.tb is not None  # so its call was alive
    assert printed() == []


def test_an_observer_that_fails_at_the_end_of_a_request_whose_traceback_is_kept_fails_no_new_one(
    printed: Callable[[], list[str]],
):
    def stop(_: TinyPipeline, step: int, latent: Tensor) -> Tensor:
        raise KeyboardInterrupt

    pipe, ends = pipeline(), Ends(failing=1)
    with cached(pipe, observers=[ends], at_once=True):
        with pytest.raises(KeyboardInterrupt) as kept:
            pipe(callback=stop)
        assert (ends.told, printed()) == ([], [])
        assert torch.equal(pipe(), fresh())
        assert (ends.told, printed()) == ([1, 12], ["ValueError: a run of 1 steps"])
    assert kept.tb is not None  # so its call was alive


def test_an_observer_that_fails_fails_what_comes_next_where_nobody_serves(printed: Callable[[], list[str]]):
    pipe, ends = pipeline(), Ends(failing=6)
    with cached(pipe, observers=[ends]):
        pipe(num_inference_steps=6)
        assert ends.told == []
        with pytest.raises(ValueError, match="a run of 6 steps"):
            pipe()
        assert torch.equal(pipe(), fresh())
    assert printed() == []
