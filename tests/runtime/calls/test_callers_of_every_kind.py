"""Calls of several runs, loops of the user, and pipelines of blocks."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from lesa_framework.testing import TinyContextDiT, TinyDiT, TinyPipeline, TinyScheduler
from tests.runtime.sessions import cached, fresh, pipeline
from tests.runtime.test_requests import beside


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


def test_a_loop_that_was_given_the_pipeline():
    def sample(pipe: TinyPipeline, steps: int) -> torch.Tensor:
        latent = torch.ones(1, 6, 4)
        pipe.scheduler.set_timesteps(steps)
        for _ in range(steps):
            latent = step(pipe, latent)
        return latent

    def step(pipe: TinyPipeline, latent: torch.Tensor) -> torch.Tensor:
        sigma = pipe.scheduler.sigmas[pipe.scheduler.step_index or 0]
        return pipe.scheduler.step(pipe.transformer(latent, sigma.expand(1), torch.ones(1, 3, 4)).sample, latent)

    pipe = pipeline()
    with torch.no_grad(), cached(pipe) as session:
        sample(beside(pipe), 10)
        assert session.report.plan() == "FPPFPPPPFP"
        sample(pipe, 10)
        assert session.report.plan() == "FPPFPPPPFP"


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
