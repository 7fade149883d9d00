"""`lesa plan`: what a configuration does at each step."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from lesa_framework.artifacts import shifted_grid
from lesa_framework.building import build_strategy
from lesa_framework.cli import console, options, sizes
from lesa_framework.cli.planned_step import PlannedStep, formula, planned_steps
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, UnsupportedBackboneError, shortened
from lesa_framework.generation import GenerationSettings, check_call, sampler_grid
from lesa_framework.measure.lineup import check_length, run_info
from lesa_framework.pipelines import ModelSource, find_model, load_pipeline
from lesa_framework.run_plan import RunPlan
from lesa_framework.runtime.strategy import Strategy
from lesa_framework.types import Decision, RunInfo

#: Shift of the grid where nothing else says.
_SHIFT = 3.0


def command(
    config: options.Config,
    overrides: options.Overrides = [],  # noqa: B006 - typer copies it
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of the sampler; by default those of the weights, or 50.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Take the noise levels of this model's own sampler.")
    ] = None,
    shift: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=100, help="Without --model: shift of the linear grid; by default the weights' own grid, or 3."
        ),
    ] = None,
    branches: Annotated[
        list[str],
        typer.Option("--branch", help="A branch of guidance, such as cond; repeat it in the order of the calls."),
    ] = ["branch0"],  # noqa: B006 - typer copies it
    as_json: options.AsJson = False,
    batch: sizes.Batch = 1,
    dtype: sizes.Dtype = None,
    height: options.Height = None,
    width: options.Width = None,
    frames: sizes.Frames = None,
    guidance: options.Guidance = None,
    true_cfg: options.TrueCfg = None,
    negative_prompt: options.Negative = None,
    call: options.Call = [],  # noqa: B006 - typer copies it
) -> None:
    """Print what a configuration does at each step: computed (F) or predicted (P), why, and with which weights.

    A question mark is a step that depends on data: a gate decides during the run.

    Needs no model. The noise levels are those that the weights were trained for, or a shifted linear grid when there
    are no weights, or with --model those of its sampler. With --model it also tells how much memory the history takes
    at a size, a length and a batch; no weight of the model is read for that, and nothing runs.

    Example: lesa plan --config ref-flux-lesa-n7 --set schedule.interval=5
    """
    if steps is not None:
        options.check_steps(steps)
    if model is not None and shift is not None:
        raise ConfigError("--shift: with --model the noise levels are those of its sampler. Leave one of them out.")
    for name in branches:
        options.check_text("--branch", name)
        if not name.strip() or branches.count(name) > 1:
            raise ConfigError(
                f"--branch {shortened(name)}: give each branch once, by its name, in the order of the calls."
            )
    given = {
        "--batch": None if batch == 1 else batch, "--dtype": dtype, "--height": height, "--width": width,
        "--frames": frames, "--guidance": guidance, "--true-cfg": true_cfg, "--negative-prompt": negative_prompt,
        "--call": call,
    }  # fmt: skip
    sizes.check_model_is_given(model, given)
    settings = load_config(config, overrides)
    strategy = build_strategy(settings)
    trained = strategy.predictor.trained_for
    length = steps or (len(trained.sigmas) - 1 if trained else 50)
    run: RunPlan | None = None
    if model is None:
        grid = _grid(settings, strategy, length, shift)
    else:
        source = find_model(model)
        arguments = options.generation_settings(
            source, length, configs=[settings], height=height, width=width, guidance=guidance, true_cfg=true_cfg,
            negative_prompt=negative_prompt, call=call,
        )  # fmt: skip
        grid, run = _on_model(source, strategy, settings, sizes.with_frames(arguments, frames), batch, dtype)
    strategy = strategy.on(grid)
    with console.warnings_as_notes():
        check_length(strategy, grid)
    rows = planned_steps(strategy, grid, branches)
    plans = {branch: [row for row in rows if row.branch == branch] for branch in branches}
    letters = {branch: "".join(_letter(row.decision) for row in steps) for branch, steps in plans.items()}
    nfe = _nfe(letters.values())
    num_steps, first = len(grid) - 1, letters[branches[0]]
    if run is not None and run.has_turns:
        # Each transformer begins with an empty history, which only the rehearsed run knows.
        nfe, letters, first = run.nfe, dict(run.plans), run.letters
        console.note("the transformers take turns, each with a history of its own, so the table of steps is left out")
        rows = []
    if as_json:
        head = {"config": settings.name, "num_steps": num_steps, "nfe": nfe, "plan": first, "branches": letters}
        memory = {} if run is None else {"memory": sizes.as_mapping(run)}
        typer.echo(json.dumps({**head, **memory, "steps": [asdict(row) for row in rows]}, indent=2))
        return
    screen = console.results()
    screen.print(_headline(settings.name, nfe, num_steps))
    if run is not None:
        screen.print(run.memory, soft_wrap=True)
    screen.print(_lines(run.lines if run is not None and run.has_turns else letters), soft_wrap=True)
    if rows:
        screen.print(_table(rows, several=len(branches) > 1))


def _lines(letters: Mapping[str, str]) -> str:
    """A line of letters for each branch, named when there are several."""
    if len(letters) == 1:
        return next(iter(letters.values()))
    width = 1 + max(map(len, letters))
    return "\n".join(f"{branch + ':':<{width}} {line}" for branch, line in letters.items())


def _headline(name: str, nfe: int | None, num_steps: int) -> str:
    if nfe is None:
        return f"{name}: {num_steps} steps; how many are computed depends on data"
    return f"{name}: {nfe} of {num_steps} steps computed, {num_steps / nfe:.2f}x fewer"


def _letter(decision: Decision | None) -> str:
    return {Decision.COMPUTE: "F", Decision.PREDICT: "P", None: "?"}[decision]


def _nfe(letters: Collection[str]) -> int | None:
    """The number of computed steps is that of the branch that computes most: the others compute some of these."""
    return None if any("?" in plan for plan in letters) else max(plan.count("F") for plan in letters)


def _on_model(
    source: ModelSource,
    strategy: Strategy,
    config: LesaConfig,
    call: GenerationSettings,
    batch: int,
    dtype: sizes.Precision | None,
) -> tuple[tuple[float, ...], RunPlan | None]:
    """The noise levels of a model's own pipeline, and what a run keeps; None where that takes a run."""
    pipe = sizes.planned_pipeline(source, dtype)
    with console.warnings_as_notes():
        try:
            run = sizes.plan_on(pipe, strategy, config, call, batch)
            return run.sigmas, run
        except UnsupportedBackboneError as error:
            reason = error
        real = load_pipeline(source, device="cpu") if source.named is None else pipe
        check_call(real, call.call)
        info = run_info(real, config.backbone, sampler_grid(real, call))
        strategy.predictor.check(info)
        console.note(str(reason))
    return info.sigmas, None


def _grid(config: LesaConfig, strategy: Strategy, length: int, shift: float | None) -> tuple[float, ...]:
    trained = strategy.predictor.trained_for
    asked = shifted_grid(length, shift or _SHIFT)
    if trained is None:
        return asked
    grid = trained.sigmas if length == len(trained.sigmas) - 1 and shift is None else asked
    strategy.predictor.check(RunInfo(grid, trained.backbone, config.backbone.tap))
    return grid


def _table(rows: Sequence[PlannedStep], *, several: bool) -> Table:
    """The steps, in one row as long as nothing but the noise level changes."""
    table = Table(box=box.SIMPLE_HEAD, caption="h3 is the feature of step 3", caption_justify="left")
    table.add_column("step")
    if several:
        table.add_column("branch")
    table.add_column("sigma")
    table.add_column("stage", justify="right")
    table.add_column("decision")
    table.add_column("reason")
    table.add_column("weights", overflow="fold")
    steps = [tuple(step) for _, step in groupby(rows, lambda row: row.step)]
    for _, alike in groupby(steps, lambda step: [_apart_from_sigma(row) for row in step]):
        group = list(alike)
        for first, last in zip(group[0], group[-1], strict=True):
            style = "bold" if first.decision is Decision.COMPUTE else ""
            numbers, sigmas = str(first.step), f"{first.sigma:.4f}"
            if len(group) > 1:
                numbers, sigmas = f"{numbers} to {last.step}", f"{sigmas} to {last.sigma:.4f}"
            table.add_row(
                numbers, *([first.branch] if several else []), sigmas, *_apart_from_sigma(first)[1:], style=style
            )  # fmt: skip
    return table


def _apart_from_sigma(row: PlannedStep) -> tuple[str, str, str, str, str]:
    return row.branch, str(row.stage), row.decision or "?", row.reason, formula(row)
