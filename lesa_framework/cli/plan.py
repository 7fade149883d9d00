"""`lesa plan`: what a configuration does at each step."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from lesa_framework.api import build_strategy
from lesa_framework.cli import console, options
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.generation import check_call, sampler_grid
from lesa_framework.interfaces.predictor import AffinePredictor
from lesa_framework.measure.planning import check_length, run_info
from lesa_framework.pipelines import find_model, load_pipeline
from lesa_framework.runtime.engine import Strategy, plan
from lesa_framework.types import Decision, Reason, RunInfo, plan_string


@dataclass(frozen=True)
class PlannedStep:
    """One row of the plan; weights are None where the step is computed or the predictor is not affine."""

    step: int
    sigma: float
    stage: int
    decision: Decision
    reason: Reason
    weights: dict[int, float] | None
    bias: float | None


def command(
    config: options.Config,
    overrides: options.Overrides = [],  # noqa: B006 - typer copies it
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of the sampler; those of the weights, or 50.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Take the noise levels of this model's own sampler.")
    ] = None,
    shift: Annotated[float, typer.Option(min=0.01, max=100, help="Without --model: shift of the linear grid.")] = 3.0,
    as_json: options.AsJson = False,
) -> None:
    """Print what a configuration does at each step: computed (F) or predicted (P), why, and with which weights.

    Needs no model. Noise levels are those that the weights were trained for, else a shifted linear grid,
    or those of --model.

    Example: lesa plan --config ref-flux-lesa-n7 --set schedule.interval=5
    """
    if steps is not None:
        options.check_steps(steps)
    settings = load_config(config, overrides)
    strategy = build_strategy(settings)
    grid = _grid(settings, strategy, steps, model, shift)
    check_length(strategy, grid)
    rows = planned_steps(strategy, grid)
    letters = plan_string([row.decision for row in rows])
    nfe = letters.count("F")
    if as_json:
        head = {"config": settings.name, "num_steps": len(rows), "nfe": nfe, "plan": letters}
        typer.echo(json.dumps({**head, "steps": [asdict(row) for row in rows]}, indent=2))
        return
    screen = console.results()
    screen.print(f"{settings.name}: {nfe} of {len(rows)} steps computed, {len(rows) / nfe:.2f}x fewer")
    screen.print(letters, soft_wrap=True)
    screen.print(_table(rows))


def planned_steps(strategy: Strategy, grid: tuple[float, ...]) -> list[PlannedStep]:
    """The plan of a run, with the weights of affine predictors by the step that each feature comes from."""
    rows = []
    for ctx, reason in plan(strategy, grid):
        weights, bias = None, None
        if reason is Reason.PREDICTED and isinstance(strategy.predictor, AffinePredictor):
            found = strategy.predictor.filter(ctx.entries, ctx)
            weights = {entry.step: weight for entry, weight in zip(ctx.entries, found.weights, strict=False)}
            bias = found.bias
        decision = Decision.PREDICT if reason is Reason.PREDICTED else Decision.COMPUTE
        rows.append(PlannedStep(ctx.index, ctx.sigma, ctx.stage, decision, reason, weights, bias))
    return rows


def linear_grid(steps: int, shift: float) -> tuple[float, ...]:
    """Noise levels from 1 down, shifted towards noise as flow-matching samplers do, and the final 0."""
    levels = (1 - index / steps for index in range(steps))
    return (*(shift * level / (1 + (shift - 1) * level) for level in levels), 0.0)


def _grid(
    config: LesaConfig, strategy: Strategy, steps: int | None, model: str | None, shift: float
) -> tuple[float, ...]:
    trained = strategy.predictor.trained_for
    length = steps or (len(trained.sigmas) - 1 if trained else 50)
    if model is not None:
        source = find_model(model)
        call = options.generation_settings(source, length)
        pipe = load_pipeline(source, device="cpu")
        check_call(pipe, call.call)
        run = run_info(pipe, config, sampler_grid(pipe, call))
        strategy.predictor.check(run)
        return run.sigmas
    if trained is None:
        return linear_grid(length, shift)
    # Without a model only the length can disagree with the weights.
    grid = trained.sigmas if length == len(trained.sigmas) - 1 else linear_grid(length, shift)
    strategy.predictor.check(RunInfo(grid, trained.backbone, config.backbone.tap))
    return grid


def _table(rows: list[PlannedStep]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, caption="h3 is the feature of step 3", caption_justify="left")
    table.add_column("step", justify="right")
    table.add_column("sigma", justify="right")
    table.add_column("stage", justify="right")
    table.add_column("decision")
    table.add_column("reason")
    table.add_column("weights", overflow="fold")
    for row in rows:
        text = ""
        if row.weights is not None:
            text = " ".join(f"{weight:+.3f}·h{step}" for step, weight in row.weights.items() if weight)
            text += f" {row.bias:+.4f}" if row.bias else ""
        style = "bold" if row.decision is Decision.COMPUTE else ""
        table.add_row(str(row.step), f"{row.sigma:.4f}", str(row.stage), row.decision, row.reason, text, style=style)
    return table
