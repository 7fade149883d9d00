"""Sessions that come and go while another thread samples."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lesa_framework.session import Session
from lesa_framework.testing import TinyDiT, TinyPipeline
from tests.runtime.sessions import both_models, cached, fresh, pipeline


def beside(pipe: TinyPipeline) -> TinyPipeline:
    """Another pipeline with the same transformer, as a server makes one for each request."""
    return TinyPipeline(pipe.transformer)


def in_a_thread(pipe: TinyPipeline, act: Callable[[], object]) -> list[Tensor]:
    """Three pictures in a row; during step 4 of the first one, this thread acts."""
    reached, acted = threading.Event(), threading.Event()
    images: list[Tensor] = []

    def callback(_: TinyPipeline, step: int, latent: Tensor) -> Tensor:
        if step == 4:
            reached.set()
            assert acted.wait(10)
        return latent

    thread = threading.Thread(target=lambda: images.extend(beside(pipe)(prompt=1, callback=callback) for _ in range(3)))
    thread.start()
    assert reached.wait(10)
    act()
    acted.set()
    thread.join()
    return images


def alone(pipe: TinyPipeline, act: Callable[[], object]) -> Tensor:
    """The first one of them, where the thread that samples acts."""

    def callback(_: TinyPipeline, step: int, latent: Tensor) -> Tensor:
        if step == 4:
            act()
        return latent

    return beside(pipe)(prompt=1, callback=callback)


@both_models
def test_detaching_while_another_thread_samples(model_class: type[TinyDiT]):
    pipe, single = pipeline(model_class), pipeline(model_class)
    bare, keys = pipe(prompt=1), list(pipe.transformer.state_dict())
    first, *others = in_a_thread(pipe, cached(pipe).detach)
    expected = alone(single, cached(single).detach)
    assert torch.equal(first, expected)
    assert not torch.equal(expected, bare)
    assert [torch.equal(image, bare) for image in others] == [True, True]
    assert list(pipe.transformer.state_dict()) == keys
    assert torch.equal(pipe(prompt=1), bare)


@both_models
def test_attaching_while_another_thread_samples(model_class: type[TinyDiT]):
    pipe, single = pipeline(model_class), pipeline(model_class)
    bare, sessions = pipe(prompt=1), list[Session]()
    first, *others = in_a_thread(pipe, lambda: sessions.append(cached(pipe)))
    expected = alone(single, lambda: sessions.append(cached(single)))
    assert torch.equal(first, expected)
    assert not torch.equal(expected, bare)
    assert [torch.equal(image, fresh(model_class, prompt=1)) for image in others] == [True, True]
    for session in sessions:
        session.detach()
    assert torch.equal(pipe(prompt=1), bare)


class Watched:
    """A session's lock that tells when somebody else waits for it."""

    def __init__(self) -> None:
        self.lock, self.asked = threading.RLock(), threading.Event()

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            self.asked.set()
            self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


@pytest.mark.parametrize("is_another_attached", [False, True])
def test_a_call_that_waited_while_its_session_was_detached_is_the_models_own_or_the_next_sessions(is_another_attached):
    pipe = pipeline()
    bare, images = pipe(prompt=1), list[Tensor]()
    session = cached(pipe)
    session._requests.lock = lock = Watched()
    thread = threading.Thread(target=lambda: images.append(beside(pipe)(prompt=1)))
    with lock:
        thread.start()
        assert lock.asked.wait(10)
        session.detach()
        following = cached(pipe) if is_another_attached else None
    thread.join()
    (image,) = images
    assert torch.equal(image, bare if following is None else fresh(prompt=1))
    if following is not None:
        following.detach()
    assert torch.equal(pipe(prompt=1), bare)
