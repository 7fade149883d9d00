"""The methods that are timed: the bare model, the engine with its predictors, and whatever peers are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch

from benchmarks.full_size.cases import Case, paper_steps
from benchmarks.full_size.sampler import Denoiser
from lesa_framework import AffinePredictor, RunReport, Session, StageRouter, Strategy
from lesa_framework.api import attach_strategy
from lesa_kan.experts import ExpertShape
from lesa_kan.predictor import Lesa
from lesa_reuse.predictor import Reuse
from lesa_routers.routers import Single, Thresholds
from lesa_schedules.schedules import Steps
from lesa_taylorseer.predictor import TaylorSeer


@dataclass(frozen=True)
class Attached:
    """What a method is while it is at work.

    Attributes:
        session: The engine's; None for the bare model and for peers.
        settings: What a peer was set to.
        note: What a reader of the row should know.
    """

    session: Session | None = None
    settings: Mapping[str, int | float | str | None] = field(default_factory=dict)
    note: str = ""

    @property
    def report(self) -> RunReport | None:
        """The engine's report."""
        return None if self.session is None else self.session.report


#: Puts a method into a model until the context is left.
Attach: TypeAlias = Callable[[Denoiser], AbstractContextManager[Attached]]

UNCACHED = "uncached"


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        name: Its name.
        attach: Puts it into a model.
        num_steps: Steps of its sampler.
        strategy: What the engine runs; None for the bare model and for peers.
        counted: Over how many of its first steps operations are counted; all when None.
    """

    name: str
    attach: Attach
    num_steps: int
    strategy: Strategy | None = None
    counted: int | None = None


#: Steps that tell all: the bare model's are alike, and the engine's sixth is its second predicted one.
_BARE, _ENGINE = 2, 6


def methods_of(case: Case, seed: int = 0) -> list[Method]:
    """Ours for one model, the uncached one first, then the intervals in the case's order."""
    rows = [_bare(UNCACHED, case.num_steps)]
    for interval in case.intervals:
        computed = paper_steps(interval, case.num_steps)
        lesa = _strategy(untrained_lesa(case, seed), Thresholds(case.boundaries), computed)
        rows += [
            _ours(case, f"lesa-n{interval}", lesa),
            _ours(case, f"taylorseer-n{interval}", _strategy(TaylorSeer(order=2), Single(), computed)),
            _ours(case, f"reuse-n{interval}", _strategy(Reuse(), Single(), computed)),
        ]
        if interval == case.intervals[0]:
            # What looking for NaNs costs: the answer has to come back to the CPU at every predicted step.
            rows.append(_ours(case, f"lesa-n{interval}-unchecked", replace(lesa, check_finite=False)))
            rows.append(
                Method(f"fewer_steps_{len(computed)}", lambda _: nullcontext(Attached()), len(computed), counted=_BARE)
            )
    return rows


def untrained_lesa(case: Case, seed: int = 0) -> Lesa:
    """LESA of the paper's size with random numbers in its tables: the speed does not depend on them.

    A gain of 0 would be reuse, which moves no byte, so the gains are small and not 0. The taps of a stage add up to 0:
    where features stand still the prediction does too, and nothing blows up.
    """
    shape = ExpertShape(case.num_steps, branches=len(case.text_tokens))
    generator = torch.Generator().manual_seed(seed)
    taps = torch.zeros(shape.branches, shape.num_stages, shape.depth)
    for stage, length in enumerate(shape.stage_history):
        drawn = torch.rand(shape.branches, length, generator=generator)
        taps[:, stage, :length] = drawn - drawn.mean(-1, keepdim=True)
    gains = 0.01 + 0.09 * torch.rand(shape.branches, shape.num_stages, shape.num_steps, generator=generator)
    return Lesa(shape, gains, taps, torch.full((shape.branches, shape.num_stages), 1e-3))


def _bare(name: str, num_steps: int) -> Method:
    return Method(name, lambda _: nullcontext(Attached()), num_steps, counted=_BARE)


def _strategy(predictor: AffinePredictor, router: StageRouter, computed: tuple[int, ...]) -> Strategy:
    return Strategy(Steps(computed), router, predictor)


def _ours(case: Case, name: str, strategy: Strategy) -> Method:
    @contextmanager
    def attach(denoiser: Denoiser) -> Iterator[Attached]:
        with attach_strategy(denoiser, strategy, case.name, case.tap) as session:
            yield Attached(session)

    return Method(name, attach, case.num_steps, strategy, _ENGINE)
