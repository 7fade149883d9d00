"""The rows of the tables, by the names that they have there: which steps each computes, where and how it predicts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors import safe_open
from safetensors.numpy import load_file

from benchmarks.recompute.formulas import (
    Array,
    Fitted,
    FoCa,
    Formula,
    Hermite,
    Lesa,
    Polynomial,
    Reuse,
    Spectrum,
    TaylorSeer,
    kan,
)
from benchmarks.recompute.libraries import HiCache, cache_dit, diffusers_taylorseer, hicache_steps, unipc
from benchmarks.recompute.plain import BRANCHES, STEPS, skipping

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "plugins" / "lesa_reference"
#: How the bundled pipelines are called, besides the prompts.
_PICTURE = {"height": 64, "width": 64, "max_sequence_length": 16, "true_cfg_scale": 4.0}
CALLS: dict[str, dict[str, Any]] = {
    "flux": _PICTURE,
    "qwen_image": _PICTURE,
    "hunyuan_video": {"height": 48, "width": 48, "num_frames": 9, "max_sequence_length": 20, "true_cfg_scale": 4.0},
}
#: Where the authors take the feature; a preset names its own.
TAPS = {"flux": "pre_head", "qwen_image": "post_norm", "hunyuan_video": "output"}
#: Formulas without weights, by what a row's name begins with; they get the noise levels.
_WEIGHTLESS: dict[str, Callable[[Array], Formula]] = {
    "reuse": lambda _: Reuse(),
    "taylorseer1": lambda _: TaylorSeer(1),
    "taylorseer2": lambda _: TaylorSeer(2),
    "taylorseer3": lambda _: TaylorSeer(3),
    "hicache1": lambda _: Hermite(1),
    "hicache2": lambda _: Hermite(2),
    "spectrum": lambda _: Spectrum(0.5, STEPS),
    "spectrum1": lambda _: Spectrum(1.0, STEPS),
    "foca": lambda _: FoCa(),
    "lagrange1": lambda sigmas: Polynomial(1, sigmas, mean=False),
    "adams_bashforth1": lambda sigmas: Polynomial(1, sigmas, mean=True),
    "adams_bashforth2": lambda sigmas: Polynomial(2, sigmas, mean=True),
}
#: cache-dit's own code, told the steps; by the calibrator.
_CACHE_DIT = {f"cache_dit_mask_{calibrator}": calibrator for calibrator in ("taylorseer", "taylorseer2", "dmd")}
#: HiCache++'s own code, told the steps; by the forecast. It forecasts the output, wherever others take the feature.
_HICACHE = {f"hicache_pp_{backend}_told": backend for backend in ("hermite", "dmd")}
#: Caches with a rhythm of their own: such a row's name ends with its computed steps, and the tables have the settings.
_OWN_RHYTHM = re.compile(r"(diffusers_taylorseer|diffusers_taylorseer_lite|hicache_pp_dmd)_\d+")
#: Plain runs, with the pipeline's sampler or with UniPC of an order.
_PLAIN = re.compile(r"(fewer_steps|unipc(?P<order>\d))_(?P<steps>\d+)")


@dataclass(frozen=True)
class Method:
    """A row.

    Attributes:
        steps: Of the sampler.
        attach: Puts the cache on a pipeline for one batch.
    """

    steps: int
    attach: Callable[[Any], AbstractContextManager[None]]


def is_known(name: str) -> bool:
    """Whether there is code for a row here."""
    if name.startswith("ref-") or _OWN_RHYTHM.fullmatch(name) or _PLAIN.fullmatch(name):
        return True
    return name.partition("-")[0] in {*_WEIGHTLESS, *_CACHE_DIT, *_HICACHE}


def method(name: str, model: str, sigmas: Array) -> Method:
    """The method of a row.

    Args:
        name: As in the tables.
        model: `flux`, `qwen_image` or `hunyuan_video`.
        sigmas: The sampler's noise levels, the final 0 included.
    """
    if plain := _PLAIN.fullmatch(name):
        order = plain["order"]
        return Method(int(plain["steps"]), partial(unipc, order=int(order)) if order else nullcontext)
    if name.startswith("ref-"):
        return _preset(name, sigmas)
    if _OWN_RHYTHM.fullmatch(name):
        return _own_rhythm(name, _settings(name, model))
    family, _, schedule = name.partition("-")
    computed = steps_of(schedule)
    if family in _CACHE_DIT:
        return Method(STEPS, partial(cache_dit, computed=computed, calibrator=_CACHE_DIT[family]))
    if family in _HICACHE:
        return _skipping("output", computed, lambda _: HiCache(_HICACHE[family]))
    return _skipping(TAPS[model], computed, lambda _: _WEIGHTLESS[family](sigmas))


def _skipping(
    tap: str, computed: Sequence[int], formula: Callable[[int], Formula], tuning: Array | None = None
) -> Method:
    def attach(pipe: Any) -> AbstractContextManager[None]:
        return skipping(pipe.transformer, tap, computed, [formula(branch) for branch in range(BRANCHES)], tuning)

    return Method(STEPS, attach)


def _own_rhythm(name: str, settings: dict[str, Any]) -> Method:
    if name.startswith("hicache_pp_dmd"):
        computed = hicache_steps(settings["interval"], settings["first_enhance"])
        return _skipping("output", computed, lambda _: HiCache("dmd"))
    interval, lite = settings["cache_interval"], "_lite_" in name
    return Method(STEPS, partial(diffusers_taylorseer, interval=interval, lite=lite))


def published(model: str) -> dict[str, dict[str, Any]]:
    """The rows of a model in reference.json, by name."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "reference.json").read_text("utf-8"))["rows"]
    return {row["name"]: row for row in rows if row["model"] == f"reference:{model}"}


def _settings(name: str, model: str) -> dict[str, Any]:
    return published(model)[name]["settings"]


def steps_of(schedule: str) -> list[int]:
    """The computed steps of a schedule that the benchmarks' files name, or of a preset."""
    if schedule.startswith("ref-"):
        config, _, shape = _read(schedule)
        return computed_steps(config["schedule"], shape.get("stage_history", [1])[0])
    found: dict[str, list[int]] = {}
    for name in ("reference", "fitted"):
        file = yaml.safe_load((ROOT / "benchmarks" / "configs" / f"{name}.yaml").read_text("utf-8"))
        found |= {key: each["compute"] for key, each in file["schedules"].items()}
    return found[schedule]


def _files(name: str) -> tuple[Path, Path]:
    folder = REFERENCE / "presets"
    return folder / f"{name}.yaml", folder / f"{name}.safetensors"


def _read(name: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A preset: its YAML says where and when, its safetensors file has the numbers, and in its header the sizes."""
    text, weights = _files(name)
    with safe_open(weights, "numpy") as file:
        shape = json.loads(file.metadata()["lesa"])["settings"]
    return yaml.safe_load(text.read_text("utf-8")), load_file(weights), shape


def _preset(name: str, sigmas: Array) -> Method:
    config, tensors, shape = _read(name)
    tap, schedule = config["backbone"]["tap"], config["schedule"]
    if config["predictor"]["kind"] == "fitted":
        weights, tuning = tensors["weights"], tensors.get("tuning")
        return _skipping(tap, schedule["compute"], lambda branch: Fitted(weights[:, branch, 0]), tuning)
    lengths = shape["stage_history"]
    stages = [sum(sigma <= bound + 1e-6 for bound in config["router"]["boundaries"]) for sigma in sigmas[:-1]]
    gains = lesa_gains(tensors, shape["branches"], len(lengths), sigmas)

    def lesa(branch: int) -> Formula:
        b = min(branch, shape["branches"] - 1)
        return Lesa(gains[b], tensors["taps"][b].astype(float), tensors["bias"][b].astype(float), lengths, stages)

    return _skipping(tap, computed_steps(schedule, lengths[0]), lesa)


def lesa_gains(tensors: dict[str, Any], branches: int, stages: int, sigmas: Array) -> Array:
    """`a_s(d_i)` by branch, stage and step, from the KANs; from the file's table where it has no KANs."""
    if "kan.0.0.coef" not in tensors:
        return tensors["gains"]
    differences = sigmas[:-1, None] - sigmas[None, :]
    exact = {name: tensor.astype(float) for name, tensor in tensors.items()}
    rows = [kan(exact, number, differences) for number in range(branches * stages)]
    return np.stack(rows).reshape(branches, stages, -1)


def computed_steps(schedule: dict[str, Any], needed: int) -> list[int]:
    """Those of a preset; LESA computes until it has as many features as its first stage needs."""
    if schedule["kind"] == "steps":
        return schedule["compute"]
    interval, warmup = schedule["interval"], schedule["warmup"]
    return [i for i in range(STEPS) if i < max(warmup, needed) or (i - warmup + 1) % interval == 0]


def digest(name: str, model: str, batch: int) -> str:
    """Of everything that a row depends on, the code here and the libraries' versions included.

    A row is measured again when this has changed.
    """
    folder = REFERENCE / "models" / model
    files = sorted([*folder.rglob("*.safetensors"), *folder.rglob("*.json")])
    files += [Path(__file__).with_name(f"{each}.py") for each in ("formulas", "libraries", "methods", "plain")]
    files += [path for path in _files(name) if path.exists()]
    schedule = name.partition("-")[2]
    steps = steps_of(schedule) if schedule and not name.startswith("ref-") else []
    settings = _settings(name, model) if _OWN_RHYTHM.fullmatch(name) else steps
    libraries = {each: version(each) for each in ("torch", "diffusers", "transformers", "cache-dit", "hicache-pp")}
    found = hashlib.sha256(f"{name} {settings} {libraries} {batch}".encode())
    for path in files:
        found.update(path.read_bytes())
    return found.hexdigest()[:16]
