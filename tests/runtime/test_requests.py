"""Requests that share a transformer: each has its own scheduler, its own runs and its own report."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest
import torch

from lesa_framework import Observer, RunReport, Tap
from lesa_framework.testing import TinyDiT, TinyPipeline, TinyScheduler
from tests.runtime.sessions import both_models, cached, every_tap, fresh, pipeline

REQUESTS = 12
THREADS = 4


def call_of(number: int) -> dict[str, object]:
    return {"prompt": number, "num_inference_steps": 8 + number % 4, "guidance": 3.0 if number % 2 else 1.0}


def beside(pipe: TinyPipeline, shift: float = 1.0) -> TinyPipeline:
    """Another pipeline with the same transformer, as a server makes one for each request."""
    return TinyPipeline(pipe.transformer, TinyScheduler(shift))


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads are switched as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@every_tap
@both_models
def test_concurrent_requests_make_the_pictures_of_separate_ones(
    model_class: type[TinyDiT], tap: Tap, eager_switching: None
):
    pipe = pipeline(model_class)
    keys = list(pipe.transformer.state_dict())
    with cached(pipe, tap=tap):
        expected = [pipe(**call_of(number)) for number in range(REQUESTS)]
    found: dict[int, object] = {}

    def serve(first: int) -> None:
        for number in range(first, REQUESTS, THREADS):
            try:
                found[number] = beside(pipe)(**call_of(number)), session.report.num_steps
            except Exception as error:
                found[number] = error

    with cached(pipe, tap=tap) as session:
        threads = [threading.Thread(target=serve, args=(first,)) for first in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(REQUESTS):
        image, num_steps = found[number]
        assert torch.equal(image, expected[number]), number
        assert num_steps == call_of(number)["num_inference_steps"]
    assert list(pipe.transformer.state_dict()) == keys


def test_a_second_pipeline_brings_its_own_scheduler():
    pipe = pipeline()
    with cached(pipe) as session:
        other = beside(pipe, shift=3.0)
        assert torch.equal(other(num_inference_steps=10), fresh(shift=3.0, num_inference_steps=10))
        assert session.report.plan() == "FPPFPPPPFP"
        assert session.report.info.sigmas == tuple(other.scheduler.sigmas.tolist())
        assert torch.equal(pipe(), fresh())
        assert session.report.num_steps == 12


def test_a_request_within_a_request():
    pipe = pipeline()
    other = beside(pipe, shift=3.0)
    images = []

    def preview(_: TinyPipeline, step: int, latent: torch.Tensor) -> torch.Tensor:
        if step == 4:
            images.append(other(prompt=2, num_inference_steps=9))
        return latent

    with cached(pipe):
        images.append(pipe(callback=preview))
    assert torch.equal(images[0], fresh(shift=3.0, prompt=2, num_inference_steps=9))
    assert torch.equal(images[1], fresh())


def test_a_request_within_that_of_another_model():
    """Two pipelines of one class: what is learnt of one must not be believed of the other."""
    outer, pipe = pipeline(), pipeline()
    plans = []

    def preview(_: TinyPipeline, step: int, latent: torch.Tensor) -> torch.Tensor:
        if step == 4:
            beside(pipe)(num_inference_steps=10)
            plans.append(session.report.plan())
        return latent

    with cached(pipe) as session:
        outer(callback=preview)
        outer(callback=preview)
        beside(pipe)(num_inference_steps=10)
        assert [*plans, session.report.plan()] == ["FPPFPPPPFP"] * 3
        assert len(session.report.runs) == 1


def test_histories_are_freed_when_the_call_returns():
    pipe = pipeline()
    held: list[weakref.ref[object]] = []

    class Watch(Observer):
        def lesa_step_end(self, record, latent, feature):
            held.append(weakref.ref(feature.untyped_storage()))

    with cached(pipe, observers=[Watch()]) as session:
        pipe()
        assert all(feature() is None for feature in held)
        assert session.report.cache_bytes > 0


def test_a_pipeline_that_is_gone_is_not_kept():
    pipe = pipeline()
    with cached(pipe) as session:
        other = beside(pipe)
        gone = weakref.ref(other)
        other()
        del other
        gc.collect()
        assert gone() is None
        assert session.report.num_steps == 12


def test_a_call_that_fails_ends_its_request():
    pipe = pipeline()

    def fail(_: TinyPipeline, step: int, latent: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with cached(pipe) as session:
        with pytest.raises(KeyboardInterrupt):
            pipe(callback=fail)
        assert torch.equal(pipe(), fresh())
        assert session.report.num_steps == 12


def test_a_call_that_failed_is_freed_by_the_next_one_although_its_traceback_is_kept():
    pipe = pipeline()
    held: list[weakref.ref[object]] = []

    class Watch(Observer):
        def lesa_step_end(self, record, latent, feature):
            held.append(weakref.ref(feature.untyped_storage()))

    def fail(_: TinyPipeline, step: int, latent: torch.Tensor) -> torch.Tensor:
        if step == 2:
            raise KeyboardInterrupt
        return latent

    with cached(pipe, observers=[Watch()]):
        with pytest.raises(KeyboardInterrupt) as kept:
            pipe(callback=fail)
        predicted = len(held) - 1  # a view of the history
        assert held[predicted]() is not None
        beside(pipe)()
        assert held[predicted]() is None
    assert kept.tb is not None


def test_two_samplers_that_take_turns_in_one_thread():
    def sample(pipe: TinyPipeline, steps: int) -> Iterator[str]:
        latent, condition = torch.ones(1, 6, 4), torch.ones(1, 3, 4)
        pipe.scheduler.set_timesteps(steps)
        for _ in range(steps):
            sigma = pipe.scheduler.sigmas[pipe.scheduler.step_index or 0]
            latent = pipe.scheduler.step(pipe.transformer(latent, sigma.expand(1), condition).sample, latent)
            yield session.report.plan()

    pipe = pipeline()
    with torch.no_grad(), cached(pipe) as session:
        plans = list(zip(sample(beside(pipe), 10), sample(beside(pipe), 10), strict=True))
    assert plans[-1] == ("FPPFPPPPFP", "FPPFPPPPFP")


def test_each_thread_reads_its_own_report():
    pipe = pipeline()
    seen = []
    with cached(pipe) as session:
        pipe(num_inference_steps=9)
        thread = threading.Thread(
            target=lambda: seen.append((session.report.num_steps, beside(pipe)(), session.report))
        )
        thread.start()
        thread.join()
        assert seen[0][0] == 9  # it had made no call yet
        assert seen[0][2].num_steps == 12
        assert session.report.num_steps == 9


def test_observers_are_told_of_every_run():
    told: list[RunReport] = []

    class Watch(Observer):
        def lesa_run_end(self, report: RunReport) -> None:
            told.append(report)

    pipe = pipeline()
    with cached(pipe, observers=[Watch()]) as session:
        pipe(num_inference_steps=9)
        assert session.report.num_steps == 9
        assert [report.num_steps for report in told] == [9]  # by reading the report, if not before
        pipe()
        pipe()
    assert [report.num_steps for report in told] == [9, 12, 12]
