"""Two processes with gloo on this machine, what they sample, and how their collectives are counted."""

from __future__ import annotations

import json
import os
import socket
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.multiprocessing import spawn
from torch.utils._python_dispatch import TorchDispatchMode

import lesa_framework as lesa
from lesa_framework import Decision, LesaError, SchedulePolicy, World
from lesa_framework.training import joined

#: What one process found, in JSON values.
Outcome: TypeAlias = dict[str, Any]
#: Runs in both processes, which it is given.
Scenario: TypeAlias = Callable[[World], Outcome]

GRID = tuple(1 - step / 12 for step in range(13))
STATIC = {"schedule": {"kind": "even", "speedup": 3}, "predictor": {"kind": "taylorseer", "order": 2}}
PLAN = "FPPFPPFPPFPP"


def run_in_two(scenarios: Mapping[str, Scenario], folder: Path) -> list[dict[str, Outcome]]:
    """Run scenarios in two processes that know each other; the outcomes of each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_process, (dict(scenarios), folder, port), 2)
    return [json.loads((folder / f"{rank}.json").read_text("utf-8")) for rank in range(2)]


def _process(rank: int, scenarios: Mapping[str, Scenario], folder: Path, port: int) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error", lesa.LesaWarning)
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with joined(timedelta(seconds=60)) as world:
        outcomes = {name: scenario(world) for name, scenario in scenarios.items()}
        if rank == 0:  # the other one ends meanwhile
            outcomes["ended"] = {"error": failure(world)}
    (folder / f"{rank}.json").write_text(json.dumps(outcomes), "utf-8")


def failure(world: World) -> str:
    """How a process ends that exchanges something with one that does not answer."""
    try:
        world.sum(torch.zeros(1))
    except LesaError as error:
        return str(error)
    return ""


class Collectives(TorchDispatchMode):
    """Counts collectives, however they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace in ("c10d", "_c10d_functional"):
            self.count += not any(word in str(func) for word in ("wait", "wrap"))
        return func(*args, **(kwargs or {}))


class OfRank(SchedulePolicy):
    """Looks at data, and wants something else in each process: to compute step 4 in one, and step 8 in the other."""

    dynamic = True

    def __init__(self, rank: int) -> None:
        self._steps = {0, 1, 4 * (1 + rank)}

    def decide(self, ctx: lesa.StepContext) -> Decision:
        return Decision.COMPUTE if ctx.index in self._steps else Decision.PREDICT


def flux_call(seed: int = 0) -> dict[str, Tensor | bool]:
    """What a tiny FLUX is given, besides latents and time."""
    noise = torch.Generator().manual_seed(seed)
    places = torch.zeros(16, 3)
    places[:, 1], places[:, 2] = torch.arange(16) // 4, torch.arange(16) % 4
    return {
        "hidden_states": torch.randn(1, 16, 32, generator=noise),
        "encoder_hidden_states": torch.randn(1, 8, 96, generator=noise),
        "pooled_projections": torch.randn(1, 64, generator=noise),
        "img_ids": places,
        "txt_ids": torch.zeros(8, 3),
        "return_dict": False,
    }


def sample(call: Callable[..., Any], seed: int = 0) -> tuple[Tensor, list[int]]:
    """Euler steps on the grid; the latents, and how many collectives each step made."""
    given, counts = flux_call(seed), []
    latent: Any = given.pop("hidden_states")
    for now, following in pairwise(GRID):
        with torch.no_grad(), Collectives() as collectives:
            velocity = call(hidden_states=latent, timestep=torch.full((1,), now), **given)[0]
        counts.append(collectives.count)
        latent = latent + (following - now) * velocity
    return latent, counts


def outcome(model: Any, config: Any = None, *, seed: int = 0, split: Callable[[Any], Any] = id) -> Outcome:
    """Sample with a session, and say how it went; `split` is called with the model under the session.

    Args:
        model: A tiny FLUX.
        config: A configuration; a [`Strategy`][lesa_framework.Strategy] works too.
        seed: Of noise and prompt.
        split: Splits the model once it has a session.
    """
    attach = lesa.attach_strategy if isinstance(config, lesa.Strategy) else lesa.accelerate
    with attach(model, config or STATIC, sigmas=GRID) as session:
        split(model)
        latent, counts = sample(model, seed)
        report = session.report
    reasons = [record.reason for record in report.records]
    return {
        "latent": latent.tolist(),
        "plan": report.plan(),
        "computed": [count for count, made in zip(counts, report.plan(), strict=True) if made == "F"],
        "predicted": [count for count, made in zip(counts, report.plan(), strict=True) if made == "P"],
        "bytes": report.cache_bytes,
        "refused": [number for number, reason in enumerate(reasons) if reason is lesa.Reason.NON_FINITE],
    }
