"""The contract of predictors, as a check."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lesa_framework.errors import LesaError, shown
from lesa_framework.grids import even_grid
from lesa_framework.interfaces.predictor import AffinePredictor, Predictor, PredictorConfig
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.planning import said_of
from lesa_framework.runtime.strategy import Strategy, plan
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.testing.sampling import attach, sample
from lesa_framework.testing.tiny_dit import TinyDiT, TinyDiTAdapter
from lesa_framework.testing.tiny_pipeline import noise
from lesa_framework.types import EntryInfo, Filter, Reason, RunInfo, StepContext, Tap

_GAPS = (2, 5)
_BRANCHES = ("branch0", "branch1")  # as a TinyDiT's are called
_BATCH, _TOKENS, _CHANNELS = 2, 3, 4


def check_predictor(config: PredictorConfig, *, run: RunInfo | None = None) -> None:
    """Check a predictor, on histories of random features and in closed loop on a `TinyDiT`.

    Checked: depth, records and `min_history` make sense together; it answers in a plan, where there are no latents; a
    filter is finite and no longer than the history; a prediction or correction keeps shape and dtype, is finite, writes
    to no feature and no latent and is the same when asked for again; computed steps are tuned by finite numbers; no
    state goes from one run into the next; its configuration survives being written and read.

    Features are (batch, tokens, channels), with as many channels as the predictor's `channels` says, or as a filter has
    numbers for.

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
    planned = [step for gap in _GAPS for step in plan(_strategy(predictor, gap), run.sigmas, _BRANCHES)]
    predicted = [ctx for ctx, reason in planned if reason is Reason.PREDICTED]
    assert predicted, f"{config.kind}: never predicts when every {_GAPS[-1]}th step is computed; see min_history"
    _check_plan(config, predictor, planned)
    channels = _channels_of(predictor, predicted)
    subject = _Subject(config, predictor, (_BATCH, _TOKENS, channels or _CHANNELS))
    for ctx, reason in planned:
        if reason is not Reason.PREDICTED:
            _check_tuning(subject, ctx)
    for dtype in (torch.float32, torch.bfloat16):
        for ctx in predicted:
            try:
                _check_step(subject, ctx, dtype)
            except LesaError as error:
                raise AssertionError(f"{_where(config, ctx)}: {error}") from error
            except NotImplementedError:  # a RuntimeError too, and none of sizes
                raise
            except RuntimeError as error:  # torch's, where sizes do not match
                raise AssertionError(
                    f"{_where(config, ctx)}: fails on features of {subject.shape} ({error}). If they must have "
                    "another number of channels, set `channels` on the predictor"
                ) from error
    _check_runs(config, run, channels)


@dataclass(frozen=True)
class _Subject:
    """What is checked.

    Attributes:
        config: The predictor's configuration.
        predictor: One that was built from it.
        shape: Of the features that it is tried on.
    """

    config: PredictorConfig
    predictor: Predictor
    shape: tuple[int, int, int]


def _where(config: PredictorConfig, ctx: StepContext) -> str:
    return f"{config.kind}, step {ctx.index} of {ctx.num_steps}"


def _check_declaration(kind: str, predictor: Predictor) -> None:
    assert predictor.depth >= 1, f"{kind}: depth is {predictor.depth}; a history keeps at least one feature"
    assert predictor.records in ("all", "computed"), f"{kind}: records is {predictor.records!r}, not all or computed"
    for stage in range(predictor.num_stages or 1):
        least = predictor.min_history(stage)
        assert 1 <= least <= predictor.depth, (
            f"{kind}, stage {stage}: min_history is {least}; it must be from 1 to depth, which is {predictor.depth}"
        )


def _check_plan(config: PredictorConfig, predictor: Predictor, planned: Sequence[tuple[StepContext, Reason]]) -> None:
    for ctx, reason in planned:
        try:
            said_of(predictor, ctx, reason)
        except LesaError as error:
            raise AssertionError(f"{_where(config, ctx)}: {error}") from error


def _strategy(predictor: Predictor, gap: int) -> Strategy:
    return Strategy(ComputeSteps(range(0, 1000, gap)), EqualStages(predictor.num_stages or 1), predictor)


def _channels_of(predictor: Predictor, contexts: Sequence[StepContext]) -> int | None:
    """How many channels it says that it needs, or that its filters have numbers for; None if any number will do."""
    if predictor.channels is not None or not isinstance(predictor, AffinePredictor):
        return predictor.channels
    filters = (predictor.filter(ctx.entries, _with_latents(ctx, (_BATCH, _TOKENS, _CHANNELS))) for ctx in contexts)
    return next((each.shape[-1] for found in filters for each in _tensors(found) if each.shape[-1] > 1), None)


def _tensors(found: Filter) -> Iterator[Tensor]:
    """A filter's numbers for channels."""
    weights = (found.weights, *found.others.values())
    yield from (each for each in weights if isinstance(each, Tensor) and each.dim() == 2)
    if isinstance(found.bias, Tensor) and found.bias.dim() == 1:
        yield found.bias


def _with_latents(ctx: StepContext, shape: tuple[int, int, int], dtype: torch.dtype = torch.float32) -> StepContext:
    newest = next((entry.step for entry in ctx.entries if entry.computed), 0)
    latent, before = (noise(shape, 500 + step).to(dtype) for step in (ctx.index, newest))
    return replace(ctx, latent=latent, computed_latent=before)


def _check_step(subject: _Subject, ctx: StepContext, dtype: torch.dtype) -> None:
    predictor, where = subject.predictor, f"{_where(subject.config, ctx)}, {dtype}"
    ctx = _with_latents(ctx, subject.shape, dtype)
    if isinstance(predictor, AffinePredictor):
        found = predictor.filter(ctx.entries, ctx)
        _check_filter(found, ctx.entries, where)
        assert found == predictor.filter(ctx.entries, ctx), f"{where}: asked again, the filter is another one"
    history = _history(subject, ctx, dtype)
    kept = _Kept(history, ctx)
    prediction = _checked_feature(predictor.predict(history, ctx), subject, dtype, where, "prediction")
    kept.check(where, "the predictor")
    repeated = predictor.predict(history, ctx)
    assert torch.equal(prediction, repeated), f"{where}: asked again, the prediction is another one"
    other = subject.config.build().predict(history, ctx)
    assert torch.equal(prediction, other), f"{where}: a newly built predictor predicts something else"
    _check_correction(subject, ctx, history, dtype, where)


def _check_tuning(subject: _Subject, ctx: StepContext) -> None:
    predictor, where = subject.predictor, _where(subject.config, ctx)
    ctx = _with_latents(ctx, subject.shape)
    tuning = predictor.tuning(ctx)
    assert tuning == predictor.tuning(ctx), f"{where}: asked again, it tunes the step differently"
    if tuning is not None:
        finite = all(math.isfinite(float(each)) for each in (tuning.shift, tuning.scale, tuning.ahead))
        assert finite, f"{where}: a tuning that is not finite: {tuning}"
        kept = not tuning.ahead or predictor.looks_ahead
        assert kept, f"{where}: it asks {tuning.ahead} ahead, which counts only if looks_ahead is set"


def _check_correction(subject: _Subject, ctx: StepContext, history: History, dtype: torch.dtype, where: str) -> None:
    predictor, computed = subject.predictor, noise(subject.shape, ctx.index).to(dtype)
    history.append(computed, EntryInfo(ctx.index, computed=True))
    if isinstance(predictor, AffinePredictor):
        found = predictor.correction(history.entries, ctx)
        if found is not None:
            _check_filter(found, history.entries, f"{where}, correction")
    kept, before = _Kept(history, ctx), computed.clone()
    corrected = predictor.correct(history, ctx, computed)
    assert torch.equal(computed, before), f"{where}: correct wrote to the computed feature"
    kept.check(where, "correct")
    if corrected is None:
        return
    corrected = _checked_feature(corrected, subject, dtype, where, "correction")
    repeated = predictor.correct(history, ctx, computed)
    assert repeated is not None, f"{where}: asked again, it does not correct"
    assert torch.equal(corrected, repeated), f"{where}: asked again, the correction is another one"


class _Kept:
    """Copies of what a predictor is shown, to find out whether it has written to it.

    Args:
        history: The branch's, which knows the others.
        ctx: Has the latents.
    """

    def __init__(self, history: History, ctx: StepContext) -> None:
        self._shown = {
            f"feature {k} of the history of '{name}'": view.feature(k)
            for name, view in history.branches.items()
            for k in range(len(view.entries))
        }
        self._shown |= {
            name: latent
            for name, latent in (("the latent", ctx.latent), ("the newest computed step's latent", ctx.computed_latent))
            if latent is not None
        }
        self._copies = {name: held.clone() for name, held in self._shown.items()}

    def check(self, where: str, who: str) -> None:
        """Compare."""
        for name, held in self._shown.items():
            assert torch.equal(held, self._copies[name]), f"{where}: {who} wrote to {name}"


def _check_filter(found: Filter, entries: Sequence[EntryInfo], where: str) -> None:
    assert len(found.weights) <= len(entries), f"{where}: {len(found.weights)} weights for a history of {len(entries)}"
    numbers = (found.weights, found.bias, *found.others.values())
    finite = all(bool(torch.as_tensor(each).isfinite().all()) for each in numbers)
    assert finite, f"{where}: a filter that is not finite: {found}"


def _checked_feature(feature: object, subject: _Subject, dtype: torch.dtype, where: str, what: str) -> Tensor:
    """A copy of it, for it may be the history's own memory."""
    shape = subject.shape
    assert isinstance(feature, Tensor), f"{where}: the {what} is {shown(feature)}, not a tensor"
    assert feature.shape == torch.Size(shape), f"{where}: shape {tuple(feature.shape)}, not the features' {shape}"
    assert feature.dtype == dtype, f"{where}: dtype {feature.dtype}, not the features'"
    assert bool(torch.isfinite(feature).all()), f"{where}: the {what} is not finite"
    return feature.clone()


def _history(subject: _Subject, ctx: StepContext, dtype: torch.dtype) -> History:
    """The branch's history, filled with random features, and beside it those of the other branches."""
    branches: dict[str, History] = {}
    for number, (name, entries) in enumerate({ctx.branch: ctx.entries, **ctx.others}.items()):
        branches[name] = history = History(subject.predictor.depth, branches=branches)
        for entry in reversed(entries):
            history.append(noise(subject.shape, 1000 * number + entry.step).to(dtype), entry)
    return branches[ctx.branch]


def _check_runs(config: PredictorConfig, run: RunInfo, channels: int | None) -> None:
    latent_channels = channels if channels is not None and run.tap is Tap.OUTPUT else _CHANNELS
    model = TinyDiT(latent_channels) if channels is None or run.tap is Tap.OUTPUT else TinyDiT(width=channels, layers=1)

    def outputs(prompt: int) -> list[Tensor]:
        latent = noise((_BATCH, _TOKENS, latent_channels), prompt)
        return sample(model, _call, latent, run.sigmas, prompt=prompt, guidance=2.0)

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
