"""The methods that are timed: the bare model, the engine with its predictors, and the peers that are installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import torch

from benchmarks.full_size.cases import Case, paper_steps
from benchmarks.full_size.floor import FloorFamily
from lesa_framework import AffinePredictor, BackboneConfig, OneStage, Reuse, StageRouter, Strategy, Tap
from lesa_framework.measure.lineup import Contender, fewer_steps, told, uncached
from lesa_framework.measure.results import Kind
from lesa_framework.plugin.manager import plugins
from lesa_kan.experts import ExpertShape
from lesa_kan.lesa import Lesa
from lesa_routers.routers import Thresholds
from lesa_schedules.schedules import Steps
from lesa_taylorseer.predictor import TaylorSeer


def line_up(case: Case, seed: int = 0) -> list[Contender]:
    """The uncached run first, then the intervals in the case's order, then peers at the first interval's steps.

    Peers that are told these steps come first: the others are searched for, and the time budget may end with them.
    """
    rows = [uncached(case.num_steps)]
    for interval in case.intervals:
        computed = paper_steps(interval, case.num_steps)
        lesa = _strategy(untrained_lesa(case, seed), Thresholds(case.boundaries), computed)
        rows += [
            _cache(case, f"lesa-n{interval}", "lesa", lesa),
            _cache(case, f"taylorseer-n{interval}", "taylorseer", _strategy(TaylorSeer(order=2), OneStage(), computed)),
            _cache(case, f"reuse-n{interval}", "reuse", _strategy(Reuse(), OneStage(), computed)),
        ]
        if interval == case.intervals[0]:
            # The cost of looking for NaNs: of replacing them, as is done by default, and of waiting for the answer.
            rows += [
                _cache(case, f"lesa-n{interval}-strict", "lesa", replace(lesa, check_finite="strict")),
                _cache(case, f"lesa-n{interval}-unchecked", "lesa", replace(lesa, check_finite=False)),
                fewer_steps(len(computed)),
            ]
            if case.tap is not Tap.OUTPUT:  # there a predicted step does not even run what the floor runs
                rows.append(told(FloorFamily(), computed, case.num_steps, f"n{interval}"))
    computed, registry = paper_steps(case.intervals[0], case.num_steps), plugins().registry
    rows += [
        told(family, computed, case.num_steps, f"n{case.intervals[0]}")
        for family in registry.told_peers.items().values()
    ]
    return rows + [
        Contender(name, Kind.PEER, name, len(computed), case.num_steps, peer=peer)
        for name, peer in registry.peers.items().items()
    ]


def chosen(contenders: Sequence[Contender], patterns: Sequence[str] | None) -> list[Contender]:
    """Those whose names fit a pattern, and always the bare model, which the others are compared with."""
    return [
        each
        for each in contenders
        if not patterns or each.kind is Kind.UNCACHED or any(fnmatchcase(each.name, pattern) for pattern in patterns)
    ]


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


def _strategy(predictor: AffinePredictor, router: StageRouter, computed: tuple[int, ...]) -> Strategy:
    return Strategy(Steps(computed), router, predictor)


def _cache(case: Case, name: str, family: str, strategy: Strategy) -> Contender:
    schedule = strategy.schedule
    assert isinstance(schedule, Steps)
    return Contender(
        name, Kind.CACHE, family, len(schedule.compute), case.num_steps, name.split("-")[1],
        strategy=strategy, backbone=BackboneConfig(kind=case.name, tap=case.tap),
    )  # fmt: skip
