"""`lesa demo`: the bundled model, uncached and cached, in one table and one page."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from lesa_framework.cli import console, files, options
from lesa_framework.cli.results_table import require_all, show_results
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.files import write_bytes, write_text
from lesa_framework.limits import MAX_PROMPTS
from lesa_framework.measure.grid_image import grid_png
from lesa_framework.measure.images import from_data_uri, png_bytes
from lesa_framework.measure.page.render import check_report, write_page
from lesa_framework.measure.probing import WarmUp
from lesa_framework.measure.results import Pair
from lesa_framework.measure.runner import run_bench
from lesa_framework.measure.tasks import comparison
from lesa_framework.pipelines import find_model
from lesa_framework.plugin.manager import plugins

_PREDICTORS = ("reuse", "taylorseer", "lesa")
_SCHEDULES = ("n7", "n10", "even10", "even8")
#: Number of prompts whose images are written and shown; the table is over all prompts.
_SHOWN = 8


def command(
    backbone: Annotated[str, typer.Option(help="Which bundled model: flux, qwen_image or hunyuan_video.")] = "flux",
    model: Annotated[
        str | None, typer.Option("--model", "-m", hidden=True, help="Another folder of that model.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for images, table and report.")] = Path("demo"),
    steps: options.Steps = 50,
    prompts: Annotated[
        int, typer.Option(min=1, max=MAX_PROMPTS, help="How many prompts; the first eight are shown.")
    ] = 24,
    seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="Seed of prompts and noise.")] = 0,
    as_json: options.AsJson = False,
    device: options.Device = None,
) -> None:
    """Make images with the bundled model, uncached and cached by three predictors, and compare them.

    Writes the images, grid.png, results.json and report.html. About half a minute on two CPU cores.

    Example: lesa demo --prompts 4 --out demo
    """
    named = f"reference:{backbone}"
    source = find_model(model or named)
    configs, missing = _configs(backbone)
    registered = plugins().registry.models.get(named)
    call = options.generation_settings(source, steps).model_copy(update={"call": dict(registered.call)})
    chosen = registered.prompts(seed, prompts) if registered.prompts else options.draw_prompts(source, prompts, seed)
    files.check_out_folder(out, ["grid.png", "report.html", "results.json"])
    files.check_out_folder(out / "images")
    check_report("lesa demo")
    line = ["lesa", "demo", "--steps", str(steps), "--prompts", str(prompts), "--seed", str(seed), "--out", str(out)]
    pairs = [Pair(prompt=prompt, seed=seed + index) for index, prompt in enumerate(chosen)]
    bench = comparison(
        source, configs, pairs, call, batch=min(prompts, 8), images=min(prompts, _SHOWN), command=shlex.join(line)
    )
    with console.StepProgress("loading") as progress:
        results = run_bench(bench, lambda _: nullcontext(progress), prober=WarmUp(), device=device)
    results = results.model_copy(update={"notes": [*results.notes, *missing]})
    (found,) = results.models
    for name, images in found.images.items():
        for index, image in enumerate(images):
            write_bytes(out / "images" / f"{index:02d}-{name}.png", png_bytes(from_data_uri(image, found.frames)))
    write_bytes(out / "grid.png", grid_png(found))
    write_text(out / "report.html", write_page(results))
    text = results.model_dump_json(indent=2) + "\n"
    write_text(out / "results.json", text)
    show_results(results, text, as_json=as_json)
    console.notices().print(
        f"wrote {out / 'report.html'}, {out / 'grid.png'}, {out / 'results.json'} and {out / 'images'}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    require_all(results)


def _configs(backbone: str) -> tuple[list[LesaConfig], list[str]]:
    """The presets that exist, with a note about those that are missing for a schedule that has some."""
    presets = plugins().registry.presets
    found: list[LesaConfig] = []
    absent: list[str] = []
    for schedule in _SCHEDULES:
        names = [f"ref-{backbone}-{predictor}-{schedule}" for predictor in _PREDICTORS]
        if any(name in presets for name in names):
            found += [load_config(name) for name in names if name in presets]
            absent += [name for name in names if name not in presets]
    if not found:
        raise ConfigError(f"--backbone {backbone}: there are no presets ref-{backbone}-*. Is its plugin installed?")
    return found, [f"not compared, because they are not shipped: {', '.join(absent)}."] if absent else []
