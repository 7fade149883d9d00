"""Whole benchmarks of a tiny pipeline, for tests: a fraction of a second each."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml

from lesa_framework.measure.probing import Prober
from lesa_framework.measure.results import Results, Row
from lesa_framework.measure.runner import run_bench
from lesa_framework.measure.spec import load_spec
from lesa_framework.measure.store import Store
from lesa_framework.measure.tasks import Benchmark, benchmark_of
from tests.progress_log import ProgressLog

CALL = {"height": 16, "width": 16, "max_sequence_length": 8, "negative_prompt": "", "true_cfg_scale": 3.0}
STEPS = 8
PROMPTS = ["a red ring", "a blue star", "a dot"]


class Bench:
    """A benchmark's file in a folder, and what runs it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.path, self.cells, self.model = folder / "bench.yaml", folder / "cells", str(model)
        self.raw: dict[str, Any] = {
            "steps": STEPS,
            "batch": 2,
            "images": 2,
            "prompts": {"texts": PROMPTS},
            "seeds": [5],
            "schedules": {"a": {"kind": "fixed_interval", "interval": 3, "warmup": 2}},
            "methods": {
                "reuse": {"predictor": {"kind": "reuse"}},
                "line": {"predictor": {"kind": "taylorseer", "order": 1}},
            },
            "models": {self.model: {"call": CALL}},
        }

    def benchmark(self, *, selection: bool = False) -> Benchmark:
        self.path.write_text(yaml.safe_dump(self.raw, sort_keys=False))
        return benchmark_of(load_spec(self.path), selection=selection)

    def run(self, log: ProgressLog | None = None, only: tuple[str, ...] = (), prober: Prober | None = None) -> Results:
        bench = self.benchmark()
        shown = log or ProgressLog()
        store = Store(self.cells)
        return run_bench(bench, lambda _: nullcontext(shown), store=store, prober=prober, only=only, device="cpu")


def row(results: Results, name: str) -> Row:
    return next(each for each in results.rows if each.name == name)


def timeless(results: Results) -> dict[str, Any]:
    """Everything but what a clock said."""
    content = results.model_dump(mode="json")
    for each in content["rows"]:
        each["seconds"] = each["speedup"] = each["timing_noise"] = each["speedup_noise"] = None
    content["notes"] = [note for note in content["notes"] if "noisy" not in note]
    for model in content["models"]:
        for details in model["details"].values():
            details["seconds"] = len(details["seconds"])
    return content
