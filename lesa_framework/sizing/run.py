"""A run on models without data: the pipeline's own code and the engine's, but no weight and no block's work."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework.call_arguments import expanded_call
from lesa_framework.errors import ConfigError, LesaError, UnsupportedBackboneError, in_one_line, shown
from lesa_framework.interfaces.observer import Observer
from lesa_framework.place import Place
from lesa_framework.report import CallReport, RunReport
from lesa_framework.run_plan import FeatureSize, RunPlan
from lesa_framework.runtime.calls.grid import SchedulerGrid
from lesa_framework.runtime.calls.tracking import Tracker
from lesa_framework.runtime.engine import Engine
from lesa_framework.runtime.features.held import places
from lesa_framework.runtime.model.attach import Attachment
from lesa_framework.runtime.requests import Requests
from lesa_framework.runtime.strategy import Strategy, StrategySource
from lesa_framework.session import Session
from lesa_framework.sizing.history import SizedHistory
from lesa_framework.sizing.meter import Meter
from lesa_framework.sizing.twins import (
    AttentionWithoutNumbers,
    Decoded,
    pipeline_twin,
    shorten,
    stand_in,
    stand_in_decoder,
    stand_in_once,
    twin_of,
)
from lesa_framework.types import RunInfo, StepRecord, Tap

_HOW = "Run it once, with as few steps as predict anything: session.report.cache_bytes tells."


def foresee(
    place: Place, source: StrategySource, tap: Tap, num_steps: int, batch: int, call: Mapping[str, Any]
) -> RunPlan:
    """What a run will do and keep, found by a run whose models are on the meta device.

    The pipeline is copied, without its weights; nothing of it is changed, and no random number is drawn.

    Args:
        place: The pipeline's transformers.
        source: Schedule, router and predictor.
        tap: Where features are taken.
        num_steps: Steps of the sampler.
        batch: Prompts of a call; 1 where the call has prompts, or embeddings, of its own.
        call: Further arguments of the pipeline.

    Raises:
        ConfigError: The pipeline does not take the arguments, `batch` comes with prompts or embeddings, or the
            configuration does not fit the run.
        UnsupportedBackboneError: It is a bare transformer, or the pipeline, or one of its models, cannot run without
            data.
    """
    if place.bare:
        raise UnsupportedBackboneError(
            "plan: a bare transformer does not say what it is called with, so what a run keeps cannot be told before. "
            f"Accelerate the pipeline. {_HOW}"
        )
    counts: dict[str, object] = {"num_steps": num_steps, "batch": batch}
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:  # notebooks have no type checker
            raise ConfigError(f"plan: {name} is {shown(count)}. Give a whole number from 1 on.")
    arguments = _arguments(place.target, num_steps, batch, call)
    try:
        return _Rehearsal(place, source, tap, short=True).run(arguments)
    except LesaError:
        raise
    except Exception:
        try:
            return _Rehearsal(place, source, tap, short=False).run(arguments)
        except LesaError:
            raise
        except Exception as error:
            raise UnsupportedBackboneError(
                f"{type(place.target).__name__}: what it keeps cannot be told without running it, because its own code "
                f"needs the models' numbers or refuses the call ({in_one_line(error)}). {_HOW}"
            ) from error


def _arguments(pipe: Any, num_steps: int, batch: int, call: Mapping[str, Any]) -> dict[str, Any]:
    accepted = inspect.signature(type(pipe).__call__).parameters
    # Embeddings have suffixes where there are several: Kandinsky 5 takes prompt_embeds_qwen and prompt_embeds_clip.
    prompts = (name for name in call if name == "prompt" or name.startswith("prompt_embeds"))
    has = min((name for name in prompts if call[name] is not None), default=None)
    if has and batch > 1:
        own = f"{batch} prompts" if has == "prompt" else f"the embeddings of {batch} prompts"
        per_prompt = [name for name in accepted if name.startswith("num_") and name.endswith("_per_prompt")]
        other = "".join(f", or {name}={batch}" for name in per_prompt)
        raise ConfigError(
            f"plan: `batch` is {batch}, which is a number of prompts, and the call has `{has}` in their place. "
            f"Leave `batch` out, and give {own}{other}."
        )
    prompt = {} if has else {"prompt": ["a"] * batch}
    given = {"num_inference_steps": num_steps, **prompt, **expanded_call(call, batch)}
    for name in given:
        if name not in accepted:
            raise ConfigError(
                f"{type(pipe).__name__}: does not take `{name}`, so that its memory cannot be planned with it. It "
                f"takes: {', '.join(key for key in accepted if key != 'self')}. {_HOW}"
            )
    fixed = {"generator": torch.Generator().manual_seed(0), "output_type": "pt"}
    return {**{name: value for name, value in fixed.items() if name in accepted}, **given}


class _Sizes(Observer):
    """Keeps the strategy and the grid of a run, and a feature of each branch, which has no data."""

    def __init__(self) -> None:
        self.info: RunInfo | None = None
        self.features: dict[str, Tensor] = {}
        self.latent: tuple[int, ...] = ()
        self.sample: tuple[int, ...] | None = None

    def decoded(self, shape: tuple[int, ...]) -> None:
        """A decoder returned this."""
        self.sample = shape

    def lesa_run_start(self, run: RunInfo) -> None:
        self.info = run

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:
        self.features[record.branch], self.latent = feature, tuple(latent.shape)


class _Unchecked:
    """The strategies of a source, without a look at whether numbers are finite: there are none."""

    def __init__(self, source: StrategySource) -> None:
        self._source = source
        self.used: Strategy | None = None

    def for_run(self, run: RunInfo) -> Strategy:
        self.used = self._source.for_run(run)
        return replace(self.used, check_finite=False)


class _Rehearsal:
    """The run: twins of the models, and a session attached to them."""

    def __init__(self, place: Place, source: StrategySource, tap: Tap, *, short: bool) -> None:
        pipe, ours, known, self._sizes = place.target, place.found, place.look(), _Sizes()
        modules = {name: module for name, module in vars(pipe).items() if isinstance(module, nn.Module)}
        made = {id(module): twin_of(module) for module in modules.values()}  # one may have several names
        twins = {name: made[id(module)] for name, module in modules.items()}
        cached = {id(twins[name]) for name in ours}
        for name, twin in twins.items():
            if name not in ours:
                if id(twin) not in cached:
                    stand_in(twin)
                    stand_in_decoder(twin, self._sizes.decoded)
                continue
            adapter = ours[name].adapter
            if short:
                shorten(twin, adapter.blocks)
            stand_in_once(twin, adapter.head)
        self._pipe = pipeline_twin(pipe, twins)
        self._source, self._meter = _Unchecked(source), Meter()

        def request(owner: Any, covers_call: bool) -> tuple[Engine, Tracker]:
            watching = (self._sizes,)
            engine = Engine(
                self._source, place.kind, tap, watching, SizedHistory, models=lambda: known, covers_call=covers_call
            )
            return engine, Tracker(place.fixed or SchedulerGrid(owner or self._pipe, is_one_call=covers_call))

        requests = Requests(request, [twins[name] for name in ours])
        self._session = Session(
            requests,
            *(
                Attachment(twins[name], match.adapter, tap, requests, part=place.name_of(name))
                for name, match in ours.items()
            ),
        )

    def run(self, arguments: Mapping[str, Any]) -> RunPlan:
        with self._session, torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                with AttentionWithoutNumbers(), self._meter:
                    self._pipe(**arguments)
            except Decoded:
                pass
            except Exception:
                if not self._is_complete(arguments["num_inference_steps"]):
                    raise
                # What comes after the last step needs numbers, such as a decoder.
        return self._plan(self._session.report)

    def _is_complete(self, num_steps: int) -> bool:
        return self._session.report.num_steps >= num_steps

    def _plan(self, report: CallReport) -> RunPlan:
        strategy, info = self._source.used, self._sizes.info
        assert strategy is not None
        assert info is not None
        plans = {branch: report.plan(branch) for branch in report.branches}
        held = self._held(strategy, plans)
        latent_bytes = report.cache_bytes - sum(each.nbytes for each in held.values())
        if strategy.schedule.dynamic:
            plans = {branch: " ".join(_open(strategy, run, branch) for run in report.runs) for branch in plans}
            # A run may compute all that depends on data.
            held = self._held(strategy, plans)
        return RunPlan(
            sigmas=info.sigmas,
            nfe=None if strategy.schedule.dynamic else report.nfe,
            plans=plans,
            features=held,
            latent_bytes=latent_bytes,
            place=strategy.history,
            choice=strategy.choice,
            working_bytes=self._meter.most,
            latent_shape=self._sizes.latent,
            sample_shape=self._sizes.sample,
        )

    def _held(self, strategy: Strategy, plans: Mapping[str, str]) -> dict[str, FeatureSize]:
        """What each branch's history holds when a run of its plan ends."""
        return {name: self._size(feature, strategy, plans[name]) for name, feature in self._sizes.features.items()}

    def _size(self, feature: Tensor, strategy: Strategy, letters: str) -> FeatureSize:
        skipped = "P" if strategy.predictor.records == "computed" else ""
        held = max(len(run.replace(skipped, "")) for run in letters.split())
        kept, dtype = places(strategy.predictor.depth, held, strategy.history), strategy.history.dtype or feature.dtype
        return FeatureSize(tuple(feature.shape), feature.dtype, kept, kept * feature.numel() * dtype.itemsize)


def _open(strategy: Strategy, run: RunReport, branch: str) -> str:
    """A branch's letters where data decide: its steps are computed while its history is too short."""
    letters = ""
    for record in run.records:
        if record.branch == branch and record.index >= 0:
            is_short = "?" not in letters and len(letters) < strategy.predictor.min_history(record.stage)
            letters += "F" if is_short else "?"
    return letters
