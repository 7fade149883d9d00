"""What two processes measure together, and what one measures alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path

import pytest
import yaml

from lesa_framework import LesaError, World
from lesa_framework.measure.model_bench import ModelBench
from lesa_framework.measure.results import Results
from tests.cli.conftest import SMALL
from tests.devices.fitting import printed
from tests.devices.ranks import Outcome
from tests.measure.benches import CALL, timeless

_PROMPTS = ["a red ring", "a blue star", "a dot", "a line", "a square"]


def write_configs(model: Path, folder: Path) -> None:
    """A benchmark of three batches, with a gate, a peer that is searched and one method that fails."""
    spec = {
        "steps": 8,
        "batch": 2,
        "images": 3,
        "prompts": {"texts": _PROMPTS},
        "schedules": {
            "even": {"kind": "fixed_interval", "interval": 3, "warmup": 2},
            "gate": {"kind": "easycache", "threshold": 5.0},
        },
        "methods": {"reuse": {"predictor": {"kind": "reuse"}}},
        "peers": ["diffusers_first_block_cache"],
        "models": {str(model): {"call": CALL}},
    }
    (folder / "bench.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    (folder / "line.yaml").write_text(
        "schedule: {kind: fixed_interval, interval: 3, warmup: 2}\npredictor: {kind: taylorseer, order: 1}\n", "utf-8"
    )
    (folder / "five.txt").write_text("\n".join(_PROMPTS), "utf-8")


def command(model: Path, folder: Path, world: World) -> Outcome:
    """`lesa eval` and `lesa bench` by both and by each alone, a run that one process stops, and other arguments."""

    def evaluate(out: str, *arguments: str) -> Outcome:
        chosen = ("--prompts", str(folder / "five.txt"), "--steps", "8", "--batch", "2", *SMALL)
        files = ("--out", str(folder / f"{out}.eval.json"), "--report", str(folder / f"{out}.eval.html"))
        return printed("eval", str(folder / "line.yaml"), "--model", str(model), *chosen, *files, *arguments)

    def bench(out: str) -> Outcome:
        return printed("bench", str(folder / "bench.yaml"), "--out", str(folder / f"{out}.bench.json"))

    found = {"eval": evaluate("both"), "bench": bench("both"), "bench again": bench("both")}
    found["few"] = evaluate("few", "--batch", "8")
    found["other"] = evaluate("other", "--steps", str(8 + world.rank))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelBench, "round", partialmethod(_round, real=ModelBench.round))
        found["stopped"] = bench("stopped")
    found["resumed"] = bench("stopped")
    size = os.environ.pop("WORLD_SIZE")
    found["eval, alone"], found["bench, alone"] = evaluate(f"alone{world.rank}"), bench(f"alone{world.rank}")
    os.environ["WORLD_SIZE"] = size
    return found


def _round(bench: ModelBench, number: int, real: Callable[[ModelBench, int], None]) -> None:
    """The first process measures its first batch, and the other one nothing."""
    if number:
        raise LesaError(f"batch {number} failed")
    real(bench, number)


def same(results: Path) -> dict[str, object]:
    """What results of one and of several processes have in common: everything but times, and where they are from."""
    content = timeless(Results.model_validate_json(results.read_text("utf-8")))
    content["environment"].pop("processes", None)
    content["notes"] = [note for note in content["notes"] if "processes" not in note]
    content["command"] = content["identity"] = ""
    for model in content["models"]:
        for source in model["sources"].values():
            source["command"] = ""
    return json.loads(json.dumps(content))  # type: ignore[no-any-return] # what was a model's dictionary
