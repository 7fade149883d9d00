"""Threads that are no request's own: pools, readers of the model, children; and two sessions in one call."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import LesaWarning
from lesa_framework.runtime.model.blocks import _SHOWN
from lesa_framework.runtime.requests import Requests, _renew_locks
from lesa_framework.testing import TinyDiT, TinyPipeline
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.sessions import cached, fresh, pipeline


def test_calls_in_a_pool_are_computed_and_one_warning_says_so():
    """A pool's thread does not know for whom it works: two requests could share it."""

    class Pooled(TinyPipeline):
        @torch.no_grad()
        def __call__(self, prompt: int = 0) -> torch.Tensor:  # type: ignore[override]
            latent = torch.ones(1, 6, 4) * prompt
            self.scheduler.set_timesteps(8)
            with ThreadPoolExecutor(1) as pool:
                for step in range(8):
                    sigma = self.scheduler.sigmas[step].expand(1)
                    velocity = pool.submit(self.transformer, latent, sigma, torch.ones(1, 3, 4)).result().sample
                    latent = self.scheduler.step(velocity, latent)
            return latent

    pipe = Pooled(TinyDiT())
    bare = pipe(1)
    with cached(pipe):
        with pytest.warns(LesaWarning, match="in a thread in which no pipeline runs"):
            assert torch.equal(pipe(1), bare)
        assert torch.equal(pipe(1), bare)  # and says so once


@pytest.mark.parametrize("act", ["deepcopy", "state_dict", "to"])
def test_whoever_reads_the_model_while_it_samples_sees_its_blocks(act: str):
    pipe = pipeline()
    keys = set(pipe.transformer.state_dict())
    seen: list[object] = []
    waiting, seen_it = threading.Event(), threading.Event()

    def read() -> None:
        assert waiting.wait(10)
        if act == "deepcopy":
            twin = copy.deepcopy(pipe.transformer)
            seen.append(set(twin.state_dict()))
            seen.append({type(twin.transformer_blocks)})
        elif act == "state_dict":
            seen.append(set(pipe.transformer.state_dict()))
        else:
            pipe.transformer.to(torch.float64)
            seen.append({weight.dtype for weight in pipe.transformer.parameters()})
        seen_it.set()

    def inside(module: object, args: object) -> None:
        if not pipe.transformer.transformer_blocks._modules:
            waiting.set()
            assert seen_it.wait(10)

    thread = threading.Thread(target=read)
    thread.start()
    with cached(pipe), suppress(RuntimeError, lesa.LesaError):  # another dtype does not fit the pipeline's latent
        hook = pipe.transformer.embed.register_forward_pre_hook(inside)
        pipe()
    hook.remove()
    thread.join()
    assert seen[0] == ({torch.float64} if act == "to" else keys)
    assert seen[1:] in ([], [{torch.nn.ModuleList}])


def test_two_sessions_in_one_call():
    first, second = pipeline(), pipeline(shift=3.0)
    reports = []

    class Both(TinyPipeline):
        def __call__(self) -> None:  # type: ignore[override]
            self.scheduler.set_timesteps(8)
            for step in range(8):
                sigma = self.scheduler.sigmas[step].expand(1)
                for model in (self.transformer, self.other):
                    velocity = model(torch.ones(1, 6, 4), sigma, torch.ones(1, 3, 4)).sample
                self.scheduler.step(velocity, torch.ones(1, 6, 4))
            reports.extend([one.report.plan(), two.report.plan()])

    pipe = Both(first.transformer)
    pipe.other = second.transformer
    with torch.no_grad(), cached(first) as one, cached(second) as two:
        pipe()
    assert reports == ["FPPFPPPP", "FPPFPPPP"]


class Uncounted:
    """A scheduler that does not count its steps, such as DDIM."""

    def __init__(self) -> None:
        self.timesteps, self.config = torch.tensor([999]), SimpleNamespace(num_train_timesteps=1000)
        self.num_inference_steps: int | None = None

    def set_timesteps(self, steps: int) -> None:
        self.timesteps, self.num_inference_steps = torch.arange(steps, 0, -1) * (1000 // steps) - 1, steps


class UncountedPipeline(TinyPipeline):
    @torch.no_grad()
    def __call__(self, prompt: int = 0, meet: threading.Barrier | None = None) -> torch.Tensor:  # type: ignore[override]
        latent = torch.ones(1, 6, 4) * prompt
        self.scheduler.set_timesteps(8)
        for number, timestep in enumerate(self.scheduler.timesteps):
            if meet is not None and number == 3:
                meet.wait(10)
                self.scheduler.set_timesteps(8)  # as the other thread's call does at some moment
            level = (timestep / 1000).expand(1)
            latent = latent - self.transformer(latent, level, torch.ones(1, 3, 4) * prompt).sample / 8
        return latent


def test_one_pipeline_in_two_threads_if_its_scheduler_does_not_count():
    pipe = UncountedPipeline(TinyDiT(), Uncounted())
    with cached(pipe):
        alone = [pipe(prompt) for prompt in (1, 2)]
        meet, found = threading.Barrier(2), {}
        threads = [threading.Thread(target=lambda n=n: found.update({n: pipe(n, meet)})) for n in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert torch.equal(found[1], alone[0])
        assert torch.equal(found[2], alone[1])
        assert torch.equal(pipe(1), alone[0])


def test_a_child_process_may_sample_while_the_parent_did():
    requests = Requests(lambda owner, covers: (owner, covers), [])
    held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with requests.lock:
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    _renew_locks()  # as in a child
    assert requests.lock.acquire(timeout=1)
    release.set()
    thread.join()


@pytest.mark.parametrize("then", ["sample", "detach"])
def test_lists_that_an_interrupt_left_empty_are_restored(then):
    pipe = pipeline()
    blocks = list(pipe.transformer.transformer_blocks)
    with cached(pipe):
        pipe()
        container = pipe.transformer.transformer_blocks
        _SHOWN.blocks[id(container)] = {}
        assert len(container) == 0
        if then == "sample":
            assert torch.equal(pipe(), fresh())
            assert list(container) == blocks
    assert list(pipe.transformer.transformer_blocks) == blocks


def stream(pipe, prompt: int):
    """Samples step by step, as a preview does."""
    latent, words = noise((1, 6, 4), prompt), noise((1, 3, 4), prompt + 1)
    pipe.scheduler.set_timesteps(12)
    for step in range(12):
        with torch.no_grad():
            velocity = pipe.transformer(latent, pipe.scheduler.sigmas[step].expand(1), words, return_dict=False)[0]
        latent = pipe.scheduler.step(velocity, latent)
        yield latent


def test_a_stream_may_be_resumed_in_any_thread():
    """Web servers take each step of a generator in whichever worker is free."""
    one = pipeline()
    two = TinyPipeline(one.transformer)
    with cached(one) as session, ThreadPoolExecutor(1) as here, ThreadPoolExecutor(1) as there:
        alone = [list(stream(pipe, prompt))[-1] for prompt, pipe in enumerate((one, two))]
        plan = session.report.plan()
        streams = [stream(one, 0), stream(two, 1)]
        for step in range(12):
            workers = (here, there) if step % 2 else (there, here)
            latents = [worker.submit(next, frames).result() for worker, frames in zip(workers, streams, strict=True)]
        assert all(torch.equal(latent, wanted) for latent, wanted in zip(latents, alone, strict=True))

        def seen_here() -> str:
            return session.report.plan()

        assert here.submit(seen_here).result() == plan == "FPPFPPPPFPPP"
        assert len(session._requests._pausing) == 2
        for frames in streams:
            frames.close()
        assert not session._requests._pausing
