"""The contract of predictors, as a check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lesa_framework.errors import LesaError
from lesa_framework.interfaces.predictor import AffinePredictor, Predictor, PredictorConfig
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.strategy import Strategy, plan
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.testing.sampling import attach, even_grid, sample
from lesa_framework.testing.tiny_dit import TinyDiT, TinyDiTAdapter
from lesa_framework.testing.tiny_pipeline import noise
from lesa_framework.types import EntryInfo, Filter, Reason, RunInfo, StepContext, Tap

_GAPS = (2, 5)
_BRANCHES = ("branch0", "branch1")  # as a TinyDiT's are called
_SHAPE = (2, 3, 4)


def check_predictor(config: PredictorConfig, *, run: RunInfo | None = None) -> None:
    """Check a predictor, on histories of random features and in closed loop on a `TinyDiT`.

    Checked: depth, records and `min_history` make sense together; a filter is finite and no longer than the
    history; a prediction or correction keeps shape and dtype, is finite, writes to nothing and is the same when asked
    for again; no state goes from one run into the next; its configuration survives being written and read.

    Args:
        config: The configuration of the predictor under test.
        run: The run it is for; a predictor with trained weights needs the one that they were trained for.

    Raises:
        AssertionError: The predictor breaks the contract; the message says where.
    """
    again = type(config).model_validate(config.model_dump(mode="json"))
    assert again == config, f"{config.kind}: writing and reading the configuration gives another one: {again!r}"
    run = run or RunInfo(even_grid(20), "testing", Tap.PRE_HEAD)
    predictor = config.build()
    _check_declaration(config.kind, predictor)
    predictor.check(run)
    for gap in _GAPS:
        contexts = _predicted(predictor, run.sigmas, gap)
        assert contexts, f"{config.kind}: never predicts when every {gap}th step is computed; see min_history"
        for dtype in (torch.float32, torch.bfloat16):
            for ctx in contexts:
                _check_step(config, predictor, ctx, dtype)
    _check_runs(config, run)


def _check_declaration(kind: str, predictor: Predictor) -> None:
    assert predictor.depth >= 1, f"{kind}: depth is {predictor.depth}; a history keeps at least one feature"
    assert predictor.records in ("all", "computed"), f"{kind}: records is {predictor.records!r}, not all or computed"
    for stage in range(predictor.num_stages or 1):
        least = predictor.min_history(stage)
        assert 1 <= least <= predictor.depth, (
            f"{kind}, stage {stage}: min_history is {least}; it must be from 1 to depth, which is {predictor.depth}"
        )


def _strategy(predictor: Predictor, gap: int) -> Strategy:
    return Strategy(ComputeSteps(range(0, 1000, gap)), EqualStages(predictor.num_stages or 1), predictor)


def _predicted(predictor: Predictor, sigmas: Sequence[float], gap: int) -> list[StepContext]:
    steps = plan(_strategy(predictor, gap), sigmas, _BRANCHES)
    return [_with_latents(ctx) for ctx, reason in steps if reason is Reason.PREDICTED]


def _with_latents(ctx: StepContext) -> StepContext:
    newest = next((entry.step for entry in ctx.entries if entry.computed), 0)
    return replace(ctx, latent=noise(_SHAPE, 500 + ctx.index), computed_latent=noise(_SHAPE, 500 + newest))


def _check_step(config: PredictorConfig, predictor: Predictor, ctx: StepContext, dtype: torch.dtype) -> None:
    where = f"{config.kind}, step {ctx.index} of {ctx.num_steps}, {dtype}"
    ctx = replace(ctx, latent=_to(ctx.latent, dtype), computed_latent=_to(ctx.computed_latent, dtype))
    if isinstance(predictor, AffinePredictor):
        found = predictor.filter(ctx.entries, ctx)
        _check_filter(found, ctx.entries, where)
        assert found == predictor.filter(ctx.entries, ctx), f"{where}: asked again, the filter is another one"
    history = _history(predictor, ctx, dtype)
    kept = [history.feature(k).clone() for k in range(len(ctx.entries))]
    prediction = predictor.predict(history, ctx).clone()
    _check_feature(prediction, dtype, where, "prediction")
    for k, feature in enumerate(kept):
        assert torch.equal(feature, history.feature(k)), f"{where}: the predictor wrote to feature {k} of the history"
    repeated = predictor.predict(history, ctx)
    assert torch.equal(prediction, repeated), f"{where}: asked again, the prediction is another one"
    other = config.build().predict(history, ctx)
    assert torch.equal(prediction, other), f"{where}: a newly built predictor predicts something else"
    _check_correction(predictor, ctx, history, dtype, where)
    _check_tuning(predictor, ctx, where)


def _check_tuning(predictor: Predictor, ctx: StepContext, where: str) -> None:
    tuning = predictor.tuning(ctx)
    assert tuning == predictor.tuning(ctx), f"{where}: asked again, it tunes the step differently"
    if tuning is not None:
        finite = all(math.isfinite(float(each)) for each in (tuning.shift, tuning.scale, tuning.ahead))
        assert finite, f"{where}: a tuning that is not finite: {tuning}"
        kept = not tuning.ahead or predictor.looks_ahead
        assert kept, f"{where}: it asks {tuning.ahead} ahead, which counts only if looks_ahead is set"


def _check_correction(predictor: Predictor, ctx: StepContext, history: History, dtype: torch.dtype, where: str) -> None:
    computed = noise(_SHAPE, ctx.index).to(dtype)
    history.append(computed, EntryInfo(ctx.index, computed=True))
    if isinstance(predictor, AffinePredictor):
        found = predictor.correction(history.entries, ctx)
        if found is not None:
            _check_filter(found, history.entries, f"{where}, correction")
    corrected = predictor.correct(history, ctx, computed)
    assert torch.equal(computed, noise(_SHAPE, ctx.index).to(dtype)), f"{where}: correct wrote to the computed feature"
    if corrected is None:
        return
    corrected = corrected.clone()
    _check_feature(corrected, dtype, where, "correction")
    repeated = predictor.correct(history, ctx, computed)
    assert repeated is not None, f"{where}: asked again, it does not correct"
    assert torch.equal(corrected, repeated), f"{where}: asked again, the correction is another one"


def _check_filter(found: Filter, entries: Sequence[EntryInfo], where: str) -> None:
    assert len(found.weights) <= len(entries), f"{where}: {len(found.weights)} weights for a history of {len(entries)}"
    numbers = (found.weights, found.bias, *found.others.values())
    finite = all(bool(torch.as_tensor(each).isfinite().all()) for each in numbers)
    assert finite, f"{where}: a filter that is not finite: {found}"


def _check_feature(feature: Tensor, dtype: torch.dtype, where: str, what: str) -> None:
    assert feature.shape == torch.Size(_SHAPE), f"{where}: shape {tuple(feature.shape)}, not the features' {_SHAPE}"
    assert feature.dtype == dtype, f"{where}: dtype {feature.dtype}, not the features'"
    assert bool(torch.isfinite(feature).all()), f"{where}: the {what} is not finite"


def _history(predictor: Predictor, ctx: StepContext, dtype: torch.dtype) -> History:
    """The branch's history, filled with random features, and beside it those of the other branches."""
    branches: dict[str, History] = {}
    for number, (name, entries) in enumerate({ctx.branch: ctx.entries, **ctx.others}.items()):
        branches[name] = history = History(predictor.depth, branches=branches)
        for entry in reversed(entries):
            history.append(noise(_SHAPE, 1000 * number + entry.step).to(dtype), entry)
    return branches[ctx.branch]


def _to(latent: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if latent is None else latent.to(dtype)


def _check_runs(config: PredictorConfig, run: RunInfo) -> None:
    model = TinyDiT()

    def outputs(prompt: int) -> list[Tensor]:
        return sample(model, _call, noise(_SHAPE, prompt), run.sigmas, prompt=prompt, guidance=2.0)

    def attached(strategy: Strategy, prompts: Sequence[int]) -> list[list[Tensor]]:
        with attach(model, TinyDiTAdapter(), strategy, run.sigmas, run.tap, backbone=run.backbone):
            return [outputs(prompt) for prompt in prompts]

    try:
        first, second = attached(_strategy(config.build(), 5), (0, 1))
        (alone,) = attached(_strategy(config.build(), 5), (1,))
    except LesaError as error:
        raise AssertionError(f"{config.kind}: fails on a TinyDiT: {error}") from error
    for step, (mine, theirs) in enumerate(zip(second, alone, strict=True)):
        assert torch.equal(mine, theirs), f"{config.kind}, step {step}: the second run depends on more than itself"
    assert not torch.equal(first[-1], second[-1]), f"{config.kind}: two prompts gave the same output"


def _call(model: torch.nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    velocity: Tensor = model(latent, sigma, noise((latent.shape[0], 3, latent.shape[2]), prompt), return_dict=False)[0]
    return velocity
