"""`lesa plan`: what a configuration does at each step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Final, TypeAlias

import typer
from rich import box
from rich.table import Table
from torch import Tensor

from lesa_framework.artifacts import linear_grid
from lesa_framework.building import build_strategy
from lesa_framework.cli import console, options, sizes
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import UnsupportedBackboneError
from lesa_framework.generation import GenerationSettings, check_call, sampler_grid
from lesa_framework.interfaces.predictor import AffinePredictor
from lesa_framework.measure.lineup import check_length, run_info
from lesa_framework.pipelines import ModelSource, find_model, load_pipeline
from lesa_framework.run_plan import RunPlan
from lesa_framework.runtime.features.filters import check_fits_history
from lesa_framework.runtime.strategy import Strategy, count_computed, plan
from lesa_framework.types import Decision, EntryInfo, Filter, Reason, RunInfo, StepContext, Tuning, Weights

_PER_CHANNEL: Final = "per channel"
#: How a number of a filter is shown: as it is, or as "per channel".
Shown: TypeAlias = float | str


@dataclass(frozen=True)
class PlannedStep:
    """One row of the plan.

    Attributes:
        step: The step.
        branch: The branch.
        sigma: Its noise level.
        stage: Its stage.
        decision: The decision; None when it depends on data.
        reason: The reason for it.
        weights: For an affine predictor, by the step that each feature comes from, the weights of its prediction or of
            its correction of a computed step; None otherwise.
        others: The weights on other branches' features, by branch.
        bias: The bias of the filter; None without weights.
        shift: Of a computed step: what is added to the noise level that the model is told.
        scale: Of a computed step: the factor of the latent that the model gets.
        ahead: Of a computed step: how far on the model is asked, in parts of the way since the computed step before.
    """

    step: int
    branch: str
    sigma: float
    stage: int
    decision: Decision | None
    reason: Reason
    weights: dict[int, Shown] | None
    others: dict[str, dict[int, Shown]]
    bias: Shown | None
    shift: float = 0.0
    scale: float = 1.0
    ahead: float = 0.0


def command(
    config: options.Config,
    overrides: options.Overrides = [],  # noqa: B006 - typer copies it
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of the sampler; by default those of the weights, or 50.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Take the noise levels of this model's own sampler.")
    ] = None,
    shift: Annotated[float, typer.Option(min=0.01, max=100, help="Without --model: shift of the linear grid.")] = 3.0,
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
    given = {
        "--batch": batch, "--dtype": dtype, "--height": height, "--width": width, "--frames": frames,
        "--guidance": guidance, "--true-cfg": true_cfg, "--negative-prompt": negative_prompt, "--call": call,
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
    with console.warnings_as_notes():
        check_length(strategy, grid)
    rows = planned_steps(strategy, grid, branches)
    plans = {branch: [row for row in rows if row.branch == branch] for branch in branches}
    letters = {branch: "".join(_letter(row.decision) for row in steps) for branch, steps in plans.items()}
    nfe = _most([count_computed([row.reason for row in steps]) for steps in plans.values()])
    num_steps = len(grid) - 1
    if as_json:
        first = letters[branches[0]]
        head = {"config": settings.name, "num_steps": num_steps, "nfe": nfe, "plan": first, "branches": letters}
        memory = {} if run is None else {"memory": sizes.as_mapping(run)}
        typer.echo(json.dumps({**head, **memory, "steps": [asdict(row) for row in rows]}, indent=2))
        return
    screen = console.results()
    screen.print(_headline(settings.name, nfe, num_steps))
    if run is not None:
        screen.print(run.memory, soft_wrap=True)
    screen.print(_lines(letters), soft_wrap=True)
    screen.print(_table(rows, several=len(letters) > 1))


def _lines(letters: Mapping[str, str]) -> str:
    """A line of letters for each branch, named when there are several."""
    if len(letters) == 1:
        return next(iter(letters.values()))
    return "\n".join(f"{branch}: {line}" for branch, line in letters.items())


def _headline(name: str, nfe: int | None, num_steps: int) -> str:
    if nfe is None:
        return f"{name}: {num_steps} steps; how many are computed depends on data"
    return f"{name}: {nfe} of {num_steps} steps computed, {num_steps / nfe:.2f}x fewer"


def planned_steps(
    strategy: Strategy, grid: tuple[float, ...], branches: Sequence[str] = ("branch0",)
) -> list[PlannedStep]:
    """The plan of a run, with the weights of affine predictors by the step that each feature comes from."""
    return [_planned(strategy, ctx, reason) for ctx, reason in plan(strategy, grid, branches)]


def _planned(strategy: Strategy, ctx: StepContext, reason: Reason) -> PlannedStep:
    predictor, entries = strategy.predictor, ctx.entries
    found: Filter | None = None
    decision = None if reason is Reason.DATA else Decision.COMPUTE
    if reason is Reason.PREDICTED:
        decision = Decision.PREDICT
        if isinstance(predictor, AffinePredictor):
            found = predictor.filter(entries, ctx)
    elif reason is not Reason.DATA and isinstance(predictor, AffinePredictor):
        entries = (EntryInfo(ctx.index, computed=True), *entries)[: predictor.depth]
        found = predictor.correction(entries, ctx)
    others = {}
    if found is not None:
        check_fits_history(found, entries, ctx.others)
        others = {name: _by_step(ctx.others[name], weights) for name, weights in found.others.items()}
    tuning = (predictor.tuning(ctx) if decision is Decision.COMPUTE else None) or Tuning()
    return PlannedStep(
        step=ctx.index,
        branch=ctx.branch,
        sigma=ctx.sigma,
        stage=ctx.stage,
        decision=decision,
        reason=reason,
        weights=None if found is None else _by_step(entries, found.weights),
        others=others,
        bias=None if found is None else _shown(found.bias),
        shift=float(tuning.shift),
        scale=float(tuning.scale),
        ahead=float(tuning.ahead),
    )


def _by_step(entries: Sequence[EntryInfo], weights: Weights) -> dict[int, Shown]:
    return {entry.step: _shown(weight) for entry, weight in zip(entries, weights, strict=False)}


def _shown(number: float | Tensor) -> Shown:
    return _PER_CHANNEL if isinstance(number, Tensor) else number


def _letter(decision: Decision | None) -> str:
    return {Decision.COMPUTE: "F", Decision.PREDICT: "P", None: "?"}[decision]


def _most(counts: Sequence[int | None]) -> int | None:
    """The number of computed steps is that of the branch that computes most: the others compute some of these."""
    known = [count for count in counts if count is not None]
    return max(known) if len(known) == len(counts) else None


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


def _grid(config: LesaConfig, strategy: Strategy, length: int, shift: float) -> tuple[float, ...]:
    trained = strategy.predictor.trained_for
    if trained is None:
        return linear_grid(length, shift)
    # Without a model only the length can disagree with the weights.
    grid = trained.sigmas if length == len(trained.sigmas) - 1 else linear_grid(length, shift)
    strategy.predictor.check(RunInfo(grid, trained.backbone, config.backbone.tap))
    return grid


def _table(rows: list[PlannedStep], *, several: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, caption="h3 is the feature of step 3", caption_justify="left")
    table.add_column("step", justify="right")
    if several:
        table.add_column("branch")
    table.add_column("sigma", justify="right")
    table.add_column("stage", justify="right")
    table.add_column("decision")
    table.add_column("reason")
    table.add_column("weights", overflow="fold")
    for row in rows:
        style = "bold" if row.decision is Decision.COMPUTE else ""
        start = (str(row.step), *([row.branch] if several else []))
        decision = row.decision or "?"
        table.add_row(*start, f"{row.sigma:.4f}", str(row.stage), decision, row.reason, formula(row), style=style)
    return table


def formula(row: PlannedStep) -> str:
    """The filter of a step as text, such as `+2.000·h1 -1.000·h0`, and how it is asked; empty when it has neither."""
    asked = [f"asked at sigma {row.sigma + row.shift:.4f}"] if row.shift else []
    asked += [f"latent x {row.scale:.4f}"] if row.scale != 1 else []
    asked += [f"asked {row.ahead:+.3f} of the last way ahead"] if row.ahead else []
    if row.weights is None:
        return ", ".join(asked)
    terms = _terms(row.weights, "h")
    for branch, weights in row.others.items():
        terms += _terms(weights, f"{branch}:h")
    if row.bias:
        terms.append(row.bias if isinstance(row.bias, str) else f"{row.bias:+.4f}")
    weighed = ("corrected: " if row.decision is Decision.COMPUTE else "") + " ".join(terms)
    return ", ".join([*asked, weighed])


def _terms(weights: Mapping[int, Shown], feature: str) -> list[str]:
    return [
        f"{weight}·{feature}{step}" if isinstance(weight, str) else f"{weight:+.3f}·{feature}{step}"
        for step, weight in weights.items()
        if weight
    ]
