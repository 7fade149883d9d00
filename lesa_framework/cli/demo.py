"""`lesa demo`: the bundled model, uncached and cached, in one table and one page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from lesa_framework.cli import console, files, options
from lesa_framework.cli.forecast import Job
from lesa_framework.cli.outlook import Outlook
from lesa_framework.cli.results import deliver, measured, require_all
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.extras import BUNDLED, PIPELINE, check_installed
from lesa_framework.files import write_bytes
from lesa_framework.limits import MAX_PROMPTS
from lesa_framework.measure.images import from_data_uri, png_bytes
from lesa_framework.measure.page.sheet import sheet_png
from lesa_framework.measure.results import Pair
from lesa_framework.measure.tasks import comparison
from lesa_framework.pipelines import find_model
from lesa_framework.plugin.manager import plugins

_PREDICTORS = ("reuse", "taylorseer", "lesa", "fitted")
_SCHEDULES = ("n7", "n10", "even10", "even8", "nfe10", "nfe8")
#: The steps that a search found, which only `fitted` runs on; it runs on no others.
_SEARCHED = ("nfe10", "nfe8")
#: The grid that the presets are made for.
_STEPS = 50
_NAMES = (
    "names: n7 computes the first four steps and then about every 7th, 10 of 50, and n10 every 10th, 8 of 50; even10 "
    "and even8 compute as many steps, evenly spread; nfe10 and nfe8 compute 10 and 8 steps that a search found."
)
_PROMPTS = (
    "prompts: the first 16 are chosen for what the model draws well. Those of the benchmarks are harder for every "
    "method, so PSNR is lower there."
)
#: Number of prompts whose images are written and shown; the table is over all prompts.
_SHOWN = 8
_LARGEST_BATCH = 8
#: Pictures that this command writes.
_EARLIER = re.compile(r"\d\d-(uncached|fewer_steps_\d+|ref-[\w-]+)\.png")


def command(
    backbone: Annotated[str, typer.Option(help="Which bundled model: flux, qwen_image or hunyuan_video.")] = "flux",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for images, table and report.")] = Path("demo"),
    prompts: Annotated[
        int, typer.Option(min=1, max=MAX_PROMPTS, help="How many prompts; the first eight are shown.")
    ] = 8,
    seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="Seed of prompts and noise.")] = 0,
    as_json: options.AsJson = False,
    device: options.Device = None,
) -> None:
    """Make images with the bundled model, uncached and cached by four predictors, and compare them.

    Writes the images, grid.png, results.json and report.html. It says how long it will take on your machine before the
    long part begins. More prompts give narrower intervals: --prompts 24 takes three times as long.

    Example: lesa demo --prompts 4 --out demo
    """
    job = Job()
    check_installed("lesa demo", (BUNDLED, *PIPELINE, "jinja2", "plotly", "matplotlib"), extra="reference")
    named = f"reference:{backbone}"
    source = find_model(named)
    configs, missing = _configs(backbone)
    call = options.generation_settings(source, _STEPS)
    chosen = options.demo_prompts(source, prompts, seed)
    files.check_out_folder(out, ["grid.png", "report.html", "results.json"])
    files.check_out_folder(out / "images")
    line = ["lesa", "demo", "--backbone", backbone, "--prompts", str(prompts), "--seed", str(seed), "--out", str(out)]
    pairs = [Pair(prompt=prompt, seed=seed + index) for index, prompt in enumerate(chosen)]
    bench = comparison(
        source, configs, pairs, call, batch=batch_of(prompts), images=min(prompts, _SHOWN), command=shlex.join(line)
    )
    with console.warnings_as_notes():
        results = measured(bench, device, Outlook(job, bench, out, page=True, demo=True))
    results = results.model_copy(update={"notes": [*results.notes, *missing, _NAMES, _PROMPTS]})
    (found,) = results.models
    for path in (out / "images").glob("*.png"):
        if _EARLIER.fullmatch(path.name):  # of an earlier demo, perhaps of more prompts
            path.unlink()
    for name, images in found.images.items():
        for index, image in enumerate(images):
            write_bytes(out / "images" / f"{index:02d}-{name}.png", png_bytes(from_data_uri(image, found.frames)))
    write_bytes(out / "grid.png", sheet_png(results, found))
    more = [out / "grid.png", out / "images"]
    deliver(results, out / "results.json", out / "report.html", more, as_json=as_json)
    job.done([out / "results.json", out / "report.html", *more])
    require_all(results)


def batch_of(prompts: int) -> int:
    """At least two batches where that is possible, so that every method is timed twice."""
    return max(1, min(_LARGEST_BATCH, prompts // 2))


def _configs(backbone: str) -> tuple[list[LesaConfig], list[str]]:
    """The presets that exist, with a note about those that are missing for a schedule that has some."""
    presets = plugins().registry.presets
    found: list[LesaConfig] = []
    absent: list[str] = []
    for schedule in _SCHEDULES:
        made = [each for each in _PREDICTORS if (each == "fitted") == (schedule in _SEARCHED)]
        names = [f"ref-{backbone}-{predictor}-{schedule}" for predictor in made]
        if any(name in presets for name in names):
            found += [load_config(name) for name in names if name in presets]
            absent += [name for name in names if name not in presets]
    if not found:
        raise ConfigError(f"--backbone {backbone}: there are no presets ref-{backbone}-*. Is its plugin installed?")
    return found, [f"not compared, because they are not shipped: {', '.join(absent)}."] if absent else []
