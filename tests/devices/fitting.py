"""What two processes fit together, and what one fits alone."""

from __future__ import annotations

import contextlib
import io
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from lesa_fitted.predictor import FittedPredictorConfig
from lesa_fitted.settings import FittedTrainingConfig
from lesa_framework import Batch, Tap, World
from lesa_framework.cli import run
from lesa_framework.plugin.manager import plugins
from tests.cli.conftest import SMALL
from tests.devices.ranks import Outcome, failure
from tests.toys import GuidedToyAdapter, new_task

#: name -> settings, the task's changes, the predictor's.
FITS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "trajectory": ({"target": "trajectory"}, {}, {"reads": "all"}),
    "feature": ({"target": "feature"}, {"tap": Tap.PRE_HEAD}, {}),
    "choice of target": ({}, {"curved": True, "prompts": 3}, {}),
    "one sample a batch": ({"passes": 2}, {"prompts": 3, "batch": 1}, {}),
    "true history": ({"fit": "true_history"}, {"prompts": 5, "batch": 4}, {}),
    "end to end": ({"fit": "end_to_end", "iterations": 6}, {"prompts": 6, "batch": 2}, {}),
}


def fits(world: World) -> Outcome:
    """Each fit of `fitted`, by both together and by each alone."""
    plugins().registry.backbones._items["guided_toy"] = GuidedToyAdapter, "tests"
    found: Outcome = {}
    for name, (settings, changes, keys) in FITS.items():
        for who, processes in (("both", world), ("alone", World())):
            task = new_task(FittedTrainingConfig(**settings), world=processes, **changes)
            fit = FittedPredictorConfig(**keys).fit(task)
            for _ in fit.run():
                pass
            found[f"{name}, {who}"] = {"table": fit.tensors()["weights"].tolist(), "drift_db": fit.drift_db}
    return found


def shares(world: World) -> Outcome:
    """What the parts of batches are, and of what is exchanged."""
    several = Batch(("a", "b", "c"), (1, 2, 3)).part(world)
    single = Batch(("a",), (1,)).part(world)
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([1.0, 2.0]) * (1 + world.rank)
    world.sum_gradients([weight, torch.nn.Parameter(torch.zeros(3))], several.share)
    return {
        "several": [several.prompts, several.seeds, several.share],
        "single": [single.prompts, single.share],
        "rows": world.rows(torch.full((2 * world.rank, 1), 1.0 + world.rank)).tolist(),
        "sum": world.sum(torch.tensor([world.rank, 1])).tolist(),
        "mean": world.mean(float("nan") if world.rank else 3.0, 1.0 - world.rank),
        "gradient": weight.grad.tolist(),
        "same": [world.agrees(b"same"), world.agrees(b"rank %d" % world.rank)],
    }


def silent(world: World) -> Outcome:
    """One of them does not answer."""
    group = distributed.new_group(timeout=timedelta(seconds=5))  # to make the group may take as long
    return {"error": failure(World(world.rank, world.size, group)) if world.is_first else ""}


CONFIGS = {
    # A ridge, so that the rounding of a random model's features, which depends on the size of a batch, stays small.
    "fitted": "predictor: {kind: fitted}\ntraining: {num_steps: 8, batch: 4, ridge: 0.1}\n",
    # At the output a bias has a gradient. The norm of a head takes it away, and Adam makes steps of rounding. Small
    # steps keep apart what differs by rounding, which is a part of a step, and what differs by a gradient, all of it.
    "lesa": (
        "backbone: {tap: output}\n"
        "router: {kind: thresholds, boundaries: [0.9, 0.5]}\n"
        "predictor: {kind: lesa, history: 3, hidden: [4]}\n"
        "training: {num_steps: 8, batch: 2, guided_epochs: 1, closed_loop_epochs: 2, "
        "guided_lr: 0.00001, closed_loop_lr: 0.00001}\n"
    ),
}


def write_configs(folder: Path) -> None:
    """Configurations, and prompts for them."""
    for name, content in CONFIGS.items():
        schedule = "schedule: {kind: fixed_interval, interval: 3, warmup: 2}\n"
        (folder / f"{name}.yaml").write_text(schedule + content, "utf-8")
    (folder / "prompts.txt").write_text("a red ring\na blue square\na star\na dot\na line\n", "utf-8")


def printed(*arguments: str) -> Outcome:
    """A command of `lesa`: how it ended, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as notes:
        code = run([*arguments])
    return {"code": code, "out": out.getvalue(), "err": notes.getvalue()}


def command(model: Path, folder: Path, world: World) -> Outcome:
    """`lesa train` and `lesa search` by both and by each alone, with what they printed, and other arguments in each."""

    def lesa(*arguments: str, out: str) -> Outcome:
        place = ("--prompts", str(folder / "prompts.txt"), "--model", str(model), "--out", str(folder / out), *SMALL)
        return printed(*arguments, *place)

    def train(config: str, out: str, *arguments: str) -> Outcome:
        return lesa("train", "--config", str(folder / f"{config}.yaml"), *arguments, out=out)

    def search(out: str) -> Outcome:
        budget = ("--nfe", "3", "--tries", "3", "--steps", "8", "--name", "found")
        return lesa("search", "--predictor", "fitted", *budget, "--set", "training.ridge=0.1", out=out)

    found = {name: train(name, "both") for name in CONFIGS}
    found["search"] = search("both")
    found["again"] = train("fitted", "both")
    found["other"] = train("fitted", "other", "--set", f"training.seed={world.rank}")
    size = os.environ.pop("WORLD_SIZE")
    for name in CONFIGS:
        found[f"{name}, alone"] = train(name, f"alone{world.rank}")
    found["search, alone"] = search(f"alone{world.rank}")
    os.environ["WORLD_SIZE"] = size
    return found


SCENARIOS = {each.__name__: each for each in (fits, shares, silent)}
