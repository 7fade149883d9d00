"""`lesa generate`: make images from prompts."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lesa_framework.api import accelerate
from lesa_framework.cli import console, files, options, stopping
from lesa_framework.cli.before_loading import say_before_loading
from lesa_framework.cli.forecast import Forecast, Job, Part
from lesa_framework.cli.foreseen import loaded, model_of, rehearsed, work_of_calls, work_of_steps
from lesa_framework.cli.written import pictures, room_of
from lesa_framework.config.loading import load_config
from lesa_framework.errors import ConfigError, LesaError, LesaWarning
from lesa_framework.extras import check_installed
from lesa_framework.files import write_bytes
from lesa_framework.generation import GenerationSettings, check_call, check_pictures, generate_batch
from lesa_framework.limits import MAX_PAIRS, check_pairs
from lesa_framework.measure.images import png_bytes
from lesa_framework.measure.lineup import Contender, caches, check_fits
from lesa_framework.pipelines import CallablePipeline, find_model, load_pipeline
from lesa_framework.report import CallReport
from lesa_framework.session import Session
from lesa_framework.types import Choice, Samples
from lesa_framework.words import amount

#: Endings of pictures and videos that are not written. Folders may have any other: models are called FLUX.1-dev.
_OTHERS = {
    ".apng", ".avi", ".avif", ".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".jxl", ".mkv", ".mov", ".mp4", ".svg", ".tif",
    ".tiff", ".webm", ".webp",
}  # fmt: skip


def command(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROMPT]", help="What to draw; for registered models a random prompt if absent."),
    ] = None,
    model: options.ModelOrFitted = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", metavar="FILE_OR_PRESET", help="The cache; none if absent.")
    ] = None,
    overrides: options.Overrides = [],  # noqa: B006 - typer copies it
    speedup: options.Speedup = None,
    weights: options.WeightsFolder = None,
    out: Annotated[Path, typer.Option(metavar="FILE.png|DIR", help="A PNG, or a folder for several.")] = Path("images"),
    seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="Seed of the noise.")] = 0,
    count: Annotated[int, typer.Option(min=1, max=MAX_PAIRS, help="Images for each prompt, with rising seeds.")] = 1,
    steps: options.StepsOrFitted = None,
    batch: Annotated[int, typer.Option(min=1, max=MAX_PAIRS, help="Images in each call of the pipeline.")] = 8,
    as_json: options.AsJson = False,
    device: options.Device = None,
    height: options.Height = None,
    width: options.Width = None,
    guidance: options.Guidance = None,
    true_cfg: options.TrueCfg = None,
    negative_prompt: options.Negative = None,
    call: options.Call = [],  # noqa: B006 - typer copies it
) -> None:
    """Make images, cached or not.

    With --speedup, each run gets the cache that suits it: weights that fit the model and the steps, else a cache that
    needs none. Steps, size and guidance that are not given are those that the configuration was fitted with.

    Example: lesa generate "a red ring on blue" --speedup 5 --seed 3 --out ring.png
    """
    job = Job()
    check_installed("lesa generate")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LesaWarning)  # the session reads the same weights, and warns of the same
        options.check_speedup(speedup, weights, config)
    if overrides and config is None:
        raise ConfigError("--set: there is no configuration to change. Give one with --config.")
    loaded = [] if config is None else [load_config(config, overrides)]
    model = options.model_for(model, loaded)
    source = find_model(model)
    settings = options.generation_settings(
        source, steps, configs=loaded, height=height, width=width, guidance=guidance, true_cfg=true_cfg,
        negative_prompt=negative_prompt, call=call,
    )  # fmt: skip
    steps = settings.num_steps
    options.check_text("PROMPT", *(prompts or ()))
    chosen = prompts or options.first_prompt(source, loaded, seed)
    check_pairs(len(chosen), count, "--count")
    pairs = [(prompt, seed + offset) for prompt in chosen for offset in range(count)]
    paths = _paths(out, pairs)
    methods = caches([(config, "") for config in loaded], steps)
    written: list[dict[str, object]] = []
    console.announce(f"making {amount(len(pairs), 'image')} of {steps} steps with {model}, to {out}")
    say_before_loading([source])
    choice: Choice | None = None
    with (
        console.warnings_as_notes(),
        stopping.advice_when_stopped(lambda: _how_far(written, len(pairs))),
        console.StepProgress("loading") as progress,
    ):
        pipe = load_pipeline(source, device=device)
        check_call(pipe, settings.call)
        check_fits(pipe, methods, settings)
        with _session(pipe, methods, speedup, weights) as session:
            work = _foresee(job, pipe, session, settings, (len(pairs), batch), out, progress)
            for start in range(0, len(pairs), batch):
                group = pairs[start : start + batch]
                samples = _sample(pipe, group, settings, progress, work)
                report = session.report if session else None
                written += _write(samples, paths[start : start + batch], group, steps, report)
            choice = session.choice if session else None
    if as_json:
        made = {"model": model, "config": config, "choice": choice and asdict(choice), "images": written}
        typer.echo(json.dumps(made, indent=2))
    else:
        _show(written, steps, choice)
    job.done(paths)


def _how_far(written: Sequence[dict[str, object]], wanted: int) -> str:
    kept = f"; they are in {Path(str(written[0]['file'])).parent}" if written else ""
    return f"stopped after {len(written)} of {amount(wanted, 'image')}{kept}. The same command starts afresh."


def _show(written: Sequence[dict[str, object]], steps: int, choice: Choice | None) -> None:
    screen = console.results()
    if choice is not None:
        screen.print(f"chosen: {choice}", soft_wrap=True)
    for entry in written:
        screen.print(
            f"{entry['file']}  seed {entry['seed']}  {entry['nfe']}/{steps} steps computed  "
            f"made in {entry['seconds']:.2f} s  {entry['prompt']}", soft_wrap=True,
        )  # fmt: skip


def _session(
    pipe: CallablePipeline, methods: Sequence[Contender], speedup: float | None, weights: Path | None
) -> AbstractContextManager[Session | None]:
    """A session with the configuration, or with what is chosen for a speed-up, if there is one."""
    if speedup is not None:
        return accelerate(pipe, speedup=speedup, weights=weights)
    return methods[0].attached(pipe) if methods else nullcontext()


def _sample(
    pipe: CallablePipeline,
    group: Sequence[tuple[str, int]],
    settings: GenerationSettings,
    progress: console.StepProgress,
    work: Sequence[float],
) -> Samples:
    prompts, seeds = [prompt for prompt, _ in group], [seed for _, seed in group]

    def after_step(index: int) -> None:
        progress.step("generating", work[index] if index < len(work) else 0.0)

    samples = generate_batch(pipe, prompts, seeds, settings, after_step)
    check_pictures(pipe, samples.images.shape[1:])
    return samples


def _foresee(
    job: Job,
    pipe: CallablePipeline,
    session: Session | None,
    settings: GenerationSettings,
    amounts: tuple[int, int],
    out: Path,
    progress: console.StepProgress,
) -> list[float]:
    """Say what will be done and needed; returns the work of each step of a call, in computed steps.

    Args:
        job: Learns where the model is.
        pipe: The pipeline.
        session: What is attached to it.
        settings: How it is called.
        amounts: Images, and images of a call.
        out: Where they go.
        progress: Is told the work.
    """
    (count, batch), steps = amounts, settings.num_steps
    batch, calls = min(amounts), -(-count // batch)
    if session is None:
        model = model_of(pipe, settings, batch)
    else:
        plans = rehearsed(partial(session.plan, steps, batch=batch, call=settings.call))
        model = loaded(pipe, plans, batch)
    check_pictures(pipe, model.sample)
    job.device = model.device
    pixels = [Part("images", pictures(model.sample, count))]
    disk = room_of(out, pixels) if model.sample else None
    memory = model.memory(depth=0 if session is None else None)  # the bare model stores no features
    Forecast((work_of_calls(model, calls, steps),), memory, disk).say(progress.screen)
    work = work_of_steps(model, steps)
    progress.expect(calls * sum(work))
    return work


def _write(
    samples: Samples,
    paths: Sequence[Path],
    group: Sequence[tuple[str, int]],
    steps: int,
    report: CallReport | None,
) -> Iterator[dict[str, object]]:
    """Write the images of one call of the pipeline; yields a description of each."""
    if not bool(samples.images.isfinite().all()):
        raise LesaError("generate: the images are not finite. Check the weights of model and predictor.")
    for image, path, (prompt, number) in zip(samples.images, paths, group, strict=True):
        write_bytes(path, png_bytes(image))
        yield {
            "file": str(path), "prompt": prompt, "seed": number, "num_steps": steps,
            "nfe": report.nfe if report else steps, "plan": report.plan() if report else "F" * steps,
            "seconds": samples.seconds / len(group),
        }  # fmt: skip


def _paths(out: Path, pairs: list[tuple[str, int]]) -> list[Path]:
    """Where each image goes; nothing is written yet."""
    if out.suffix.lower() == ".png":
        if len(pairs) > 1:
            raise ConfigError(f"--out {out}: this is one file, but there are {len(pairs)} images. Give a folder.")
        files.check_out_file(out)
        return [out]
    if out.suffix.lower() in _OTHERS and not out.is_dir():
        raise ConfigError(f"--out {out}: images are written as PNG. Give a .png file or a folder.")
    slugs = [re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60] for prompt, _ in pairs]
    names = [
        f"{index:03d}-{slug}-s{seed}.png" for index, (slug, (_, seed)) in enumerate(zip(slugs, pairs, strict=True))
    ]
    files.check_out_folder(out, names)
    return [out / name for name in names]
