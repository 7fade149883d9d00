"""Calls of several runs, loops of the user, and pipelines of blocks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import MethodType, SimpleNamespace
from typing import Any, TypeAlias

import pytest
import torch

from lesa_framework import LesaWarning, Observer
from lesa_framework.testing import TinyContextDiT, TinyDiT, TinyPipeline, TinyScheduler
from tests.runtime.sessions import cached, fresh, strategy


class SectionPipeline(TinyPipeline):
    """Samples several sections in one call, each with timesteps of its own, as FramePack does."""

    def __call__(self, sections: int = 3) -> list[torch.Tensor]:  # type: ignore[override]
        return [super(SectionPipeline, self).__call__(section, 9 + section) for section in range(sections)]


def test_the_report_of_a_call_covers_all_of_its_runs():
    pipe = SectionPipeline(TinyDiT(), TinyScheduler())
    with cached(pipe) as session:
        images = pipe()
        report = session.report
        assert [run.plan() for run in report.runs] == ["FPPFPPPPF", "FPPFPPPPFP", "FPPFPPPPFPP"]
        assert (report.num_steps, report.nfe, report.branches) == (30, 9, ("branch0",))
        assert str(report).startswith("3 runs in one call: 30 steps, 9 computed")
        pipe(sections=1)
        assert session.report.num_steps == 9  # the next call starts anew
    assert torch.equal(images[1], fresh(prompt=1, num_inference_steps=10))


class SteppingPipeline(TinyPipeline):
    """Makes single steps for loops of the user's, yields all of them, or makes them at once."""

    def denoise_step(self, latent: torch.Tensor) -> torch.Tensor:
        return step(self, latent)

    def two_steps(self, latent: torch.Tensor) -> torch.Tensor:
        return step(self, step(self, latent))

    def stream(self, steps: int) -> Iterator[torch.Tensor]:
        latent = torch.ones(1, 6, 4)
        self.scheduler.set_timesteps(steps)
        for _ in range(steps):
            latent = self.denoise_step(latent)
            yield latent

    def generate(self, steps: int, sections: int = 1) -> torch.Tensor:
        return [latent for _ in range(sections) for latent in self.stream(steps)][-1]


def step(pipe: TinyPipeline, latent: torch.Tensor) -> torch.Tensor:
    sigma = pipe.scheduler.sigmas[pipe.scheduler.step_index or 0]
    return pipe.scheduler.step(pipe.transformer(latent, sigma.expand(1), torch.ones(1, 3, 4)).sample, latent)


Step: TypeAlias = Callable[[SteppingPipeline, torch.Tensor], torch.Tensor]
of_method = r"make the loop over the steps a method of it too\. Or make denoise_step\(\) a function"


def sample(pipe: SteppingPipeline, steps: int) -> torch.Tensor:
    latent = torch.ones(1, 6, 4)
    pipe.scheduler.set_timesteps(steps)
    for _ in range(steps):
        latent = step(pipe, latent)
    return latent


@pytest.mark.parametrize("run", [sample, SteppingPipeline.generate], ids=["function", "method, whose steps are too"])
def test_a_loop_that_was_given_the_pipeline(run: Callable[[SteppingPipeline, int], torch.Tensor]):
    pipe = SteppingPipeline(TinyDiT())
    with torch.no_grad(), cached(pipe) as session:
        for each in (SteppingPipeline(pipe.transformer), pipe):
            run(each, 10)
            assert session.report.plan() == "FPPFPPPPFP"


def test_a_function_that_was_given_the_pipeline_and_calls_its_method_for_each_run():
    def serve(pipe: SteppingPipeline) -> list[torch.Tensor]:
        images = []
        for steps in (10, 9, 9):
            images.append(pipe.generate(steps))
            plans.append(session.report.plan())
        return images

    plans: list[str] = []
    pipe = SteppingPipeline(TinyDiT())
    with torch.no_grad(), cached(pipe) as session:
        images = serve(pipe)
        assert plans == ["FPPFPPPPFP", "FPPFPPPPF", "FPPFPPPPF"]
        assert torch.equal(images[1], images[2])
        assert torch.equal(images[0], sample(pipe, 10))


def test_a_method_of_several_runs_is_one_call_within_a_function_that_was_given_the_pipeline():
    def work(pipe: SteppingPipeline) -> None:
        pipe.generate(10, sections=2)
        assert [run.plan() for run in session.report.runs] == ["FPPFPPPPFP"] * 2
        pipe.generate(9)
        assert session.report.num_steps == 9

    pipe = SteppingPipeline(TinyDiT())
    with torch.no_grad(), cached(pipe) as session:
        work(pipe)


def test_a_method_that_fails_leaves_no_history_within_a_function_that_was_given_the_pipeline():
    held: list[weakref.ref[object]] = []

    class Watch(Observer):
        def lesa_step_end(self, record, latent, feature):
            held.append(weakref.ref(feature.untyped_storage()))

    class Failing(SteppingPipeline):
        def denoise_step(self, latent: torch.Tensor) -> torch.Tensor:
            if self.scheduler.step_index == 3:
                assert any(feature() is not None for feature in held)
                raise InterruptedError
            return super().denoise_step(latent)

    def work(pipe: SteppingPipeline) -> None:
        with suppress(InterruptedError):
            pipe.generate(8)
        assert [feature() for feature in held] == [None] * 3

    with torch.no_grad(), cached(pipe := Failing(TinyDiT()), observers=[Watch()]):
        work(pipe)


def test_a_generator_whose_steps_are_taken_by_a_function_with_the_pipeline():
    def take(pipe: SteppingPipeline, steps: Iterator[torch.Tensor]) -> torch.Tensor | None:
        return next(steps, None)

    pipe = SteppingPipeline(TinyDiT())
    with torch.no_grad(), cached(pipe) as session:
        steps = pipe.stream(10)
        while take(pipe, steps) is not None:
            pass
        assert session.report.plan() == "FPPFPPPPFP"


@pytest.mark.parametrize(
    ("one", "is_given", "advice"),
    [
        (step, False, "Give the pipeline, as an argument, to the function that has the loop"),
        (SteppingPipeline.denoise_step, False, of_method),
        (SteppingPipeline.denoise_step, True, of_method),
    ],
    ids=["function", "method", "method in a function that was given the pipeline"],
)
def test_a_loop_each_step_of_which_is_a_request_is_computed_and_one_warning_says_so(
    one: Step, is_given: bool, advice: str
):
    def loop(given: SteppingPipeline | None) -> None:
        latent = torch.ones(1, 6, 4)
        pipe.scheduler.set_timesteps(4)
        for _ in range(4):
            latent = one(pipe, latent)
            assert session.report.plan() == "F"

    pipe = SteppingPipeline(TinyDiT())
    with torch.no_grad(), cached(pipe) as session:
        with pytest.warns(LesaWarning, match=rf"{one.__name__}\(\) makes a part of the run, .* {advice}") as caught:
            loop(pipe if is_given else None)
        loop(pipe if is_given else None)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_method_that_makes_a_few_steps_is_told_of_too():
    pipe = SteppingPipeline(TinyDiT())
    latent = torch.ones(1, 6, 4)
    pipe.scheduler.set_timesteps(6)
    with torch.no_grad(), cached(pipe) as session:
        latent = pipe.two_steps(latent)
        assert session.report.num_steps == 2
        with pytest.warns(LesaWarning, match=r"two_steps\(\) makes a part"):
            pipe.two_steps(latent)


def test_parts_that_have_been_cached_and_runs_that_begin_anew_are_not_told_of():
    def part(pipe: SteppingPipeline, latent: torch.Tensor, steps: int) -> torch.Tensor:
        for _ in range(steps):
            latent = step(pipe, latent)
        return latent

    pipe, latent = SteppingPipeline(TinyDiT()), torch.ones(1, 6, 4)
    pipe.scheduler.set_timesteps(20)
    with torch.no_grad(), cached(pipe) as session:
        part(pipe, part(pipe, latent, 10), 10)
        assert session.report.num_steps == 10
    with torch.no_grad(), cached(pipe, strategy((0, 1, 2))):
        for _ in range(2):
            pipe.scheduler.step_index = None  # the grid is the same
            part(pipe, latent, 3)


@pytest.mark.parametrize("decorate", [lambda function: function, torch.no_grad()], ids=["plain", "decorated"])
def test_a_loop_that_was_bound_to_the_pipeline_is_a_method_of_it(decorate: Callable[..., Any]):
    @decorate
    def looped(self: SteppingPipeline) -> None:
        latent = torch.ones(1, 6, 4)
        self.scheduler.set_timesteps(10)
        for _ in range(10):
            latent = self.denoise_step(latent)

    pipe = SteppingPipeline(TinyDiT())
    pipe.looped = MethodType(looped, pipe)
    with torch.no_grad(), cached(pipe) as session:
        pipe.looped()
        assert session.report.plan() == "FPPFPPPPFP"


def test_runs_of_one_step_are_not_taken_for_the_steps_of_a_run():
    pipe = SteppingPipeline(TinyDiT())
    with torch.no_grad(), cached(pipe, strategy((0,))):
        for _ in range(3):
            sample(pipe, 1)
        for _ in range(3):  # of longer runs, the first steps
            pipe.scheduler.set_timesteps(8)
            step(pipe, torch.ones(1, 6, 4))


def test_blocks_with_the_pipeline_as_an_argument():
    """Modular pipelines hand themselves to blocks, one of which is called at each step."""

    class Step:
        def __call__(self, components: TinyPipeline, state: SimpleNamespace) -> None:
            scheduler = components.scheduler
            sigma = scheduler.sigmas[scheduler.step_index or 0].expand(1)
            state.latent = scheduler.step(
                components.transformer(state.latent, sigma, state.condition).sample, state.latent
            )

    class Modular(TinyPipeline):
        @torch.no_grad()
        def __call__(self, steps: int = 10) -> torch.Tensor:  # type: ignore[override]
            state = SimpleNamespace(latent=torch.ones(1, 6, 4), condition=torch.ones(1, 3, 4))
            self.scheduler.set_timesteps(steps)
            for _ in range(steps):
                Step()(self, state)
            return state.latent

    pipe = Modular(TinyContextDiT())
    with cached(pipe) as session:
        pipe()
        assert session.report.plan() == "FPPFPPPPFP"
        assert len(session.report.runs) == 1
