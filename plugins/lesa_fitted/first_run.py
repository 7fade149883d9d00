"""What a fit learns from a first run of the schedule: its branches, its computed steps, and the shapes of latents."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lesa_fitted.table import TableShape
from lesa_framework import (
    Batch,
    ConfigError,
    FitTask,
    Observer,
    Reason,
    Recorder,
    Reuse,
    StepRecord,
    Strategy,
)


class Unfitted(Reuse):
    """Reuse, for as long as there is no table."""

    def __init__(self, depth: int, records: Literal["all", "computed"]) -> None:
        self.depth, self.records = depth, records


class _Shapes(Observer):
    """The shape of each branch's newest feature, and whether every feature has the shape of its latent."""

    def __init__(self) -> None:
        self.alike = True
        self.of: dict[str, torch.Size] = {}

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:
        """Note them."""
        self.of[record.branch] = feature.shape
        self.alike = self.alike and feature.shape == latent.shape


def first_run(
    task: FitTask, depth: int, reads: Literal["own", "all"], records: Literal["all", "computed"]
) -> tuple[TableShape, bool]:
    """The shape of a table for a task's runs, from a rollout of one prompt.

    Args:
        task: Schedule and runs of the sampler.
        depth: The most features of each branch that a filter may read.
        reads: Of which branches.
        records: What histories hold.

    Returns:
        The shape, and whether a trajectory can be aimed at: the final latents have the shape of the others, and so have
        features where a filter of all branches returns the velocity itself.

    Raises:
        ConfigError: Not every branch is called once in each step, or features that a filter would add up, of all steps
            or of all branches, have different shapes.
    """
    first, recorder, shapes, steps = task.batches[0], Recorder(features=False), _Shapes(), len(task.sigmas) - 1
    with torch.no_grad():
        one = Batch(first.prompts[:1], first.seeds[:1])
        *_, last, final = task.rollout(one, Unfitted(1, "computed"), observers=(recorder, shapes))
    branches = tuple(dict.fromkeys(record.branch for record in recorder.records))
    if len({(record.branch, record.index) for record in recorder.records}) != len(branches) * steps:
        raise ConfigError(
            f"training: 'fitted' needs one call of the model for each branch and step; {len(recorder.records)} "
            f"calls were seen in {steps} steps of {len(branches)} branches, as where two transformers take turns. Take "
            "another predictor, such as taylorseer. For a search: --predictor taylorseer, or --guide taylorseer where "
            "another predictor than 'fitted' is searched for."
        )
    if any(record.reason is Reason.SHAPE for record in recorder.records):
        raise ConfigError(
            "training: 'fitted' needs features of one shape in all steps. Here it changes during a run, as with a "
            "key-value cache. Switch that off in training.call, such as `use_kv_cache: false`, or take another "
            "predictor."
        )
    if reads == "all" and len(set(shapes.of.values())) > 1:
        found = ", ".join(f"{branch} {tuple(shape)}" for branch, shape in shapes.of.items())
        raise ConfigError(
            f"predictor.reads: 'all' adds up features of all branches, but here they have different shapes: {found}. "
            "Use reads 'own', or backbone.tap 'output', where most models leave the words of the prompt out."
        )
    shape = TableShape(steps, computed_steps(task, depth, records), depth, branches, reads, records)
    alike = last.shape == final.shape and (reads == "own" or shapes.alike)
    return replace(shape, depth=min(depth, shape.longest)), alike


def computed_steps(task: FitTask, depth: int, records: Literal["all", "computed"]) -> tuple[int, ...]:
    """The steps that a task's schedule computes where histories hold so many features of this sort."""
    return Strategy(task.schedule, task.router, Unfitted(depth, records)).computed(task.sigmas)


def deepest(task: FitTask, depth: int, records: Literal["all", "computed"]) -> int:
    """How many features a filter can read at most: `depth`, or as many as a history can hold."""
    return min(depth, len(computed_steps(task, depth, records)) if records == "computed" else len(task.sigmas) - 1)
