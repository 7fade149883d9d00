"""LESA on a base: what it starts from, what it asks, and what its file holds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lesa_fitted.predictor import FittedPredictorConfig
from lesa_fitted.table import TableShape
from lesa_framework import (
    AffinePredictor,
    ArtifactError,
    ConfigError,
    EntryInfo,
    Filter,
    OneStage,
    Predictor,
    PredictorConfig,
    StepContext,
    Strategy,
    Tuning,
    load_config,
)
from lesa_framework.artifacts import Artifact, ArtifactMetadata, save_artifact
from lesa_framework.runtime.features.history import History
from lesa_framework.types import Decision, Tap
from lesa_kan.base import Base, added, reach
from lesa_kan.experts import ExpertShape
from lesa_kan.lesa import TrainedLesa
from lesa_kan.trainable_lesa import TrainableLesa
from lesa_rivals.magcache import MagCache
from lesa_schedules.schedules import Steps
from lesa_taylorseer.predictor import TaylorSeerConfig

T = 8
SIGMAS = (*(1 - i / T for i in range(T)), 0.0)
SHAPE = ExpertShape(T, stage_history=(3,), hidden=(4,))
COMPUTED = (0, 3, 6)


def task() -> Any:
    return SimpleNamespace(schedule=Steps(COMPUTED), router=OneStage(), sigmas=SIGMAS)


def made_on(section: PredictorConfig, records: str, *, start: bool = True) -> TrainableLesa:
    made = TrainableLesa(SHAPE, 0, records=records, base=Base.start(section, task(), records))
    if not start:
        with torch.no_grad():
            made.experts.multiply_gains(0.0)
            for kan in made.experts.kans:
                kan.get_submodule("act_fun.1").get_parameter("scale_base").add_(4.0)
            made.experts.taps.add_(torch.linspace(-0.3, 0.5, SHAPE.depth))
            made.experts.bias.add_(0.2)
    return made


def sampled(made: TrainableLesa) -> TrainedLesa:
    metadata = ArtifactMetadata(kind="lesa", settings=made.settings(), sigmas=SIGMAS, backbone="flux", tap=Tap.OUTPUT)
    read_again = ArtifactMetadata.model_validate_json(metadata.model_dump_json())
    return TrainedLesa(Artifact(read_again, made.tensors(SIGMAS)))


def held(step: int, records: str, depth: int) -> tuple[History, list[torch.Tensor]]:
    """The history when a step begins; the list has the features of the computed steps, newest first."""
    history, computed = History(depth), []
    for index in range(step):
        feature = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(index))
        if index in COMPUTED:
            computed.insert(0, feature)
        if records == "all" or index in COMPUTED:
            history.append(feature, EntryInfo(index, index in COMPUTED))
    return history, computed


def at(step: int, history: History) -> StepContext:
    return StepContext(step, SIGMAS, entries=history.entries)


@pytest.mark.parametrize("records", ["all", "computed"])
@pytest.mark.parametrize("step", [1, 4, 5, 7])
def test_an_untrained_lesa_predicts_what_its_base_does(records: str, step: int) -> None:
    made = made_on(TaylorSeerConfig(order=1), records)
    alone = History(2)
    for number, feature in enumerate(reversed(held(step, records, made.depth)[1])):
        alone.append(feature, EntryInfo(COMPUTED[number], True))
    expected = TaylorSeerConfig(order=1).build().predict(alone, at(step, alone))
    history, _ = held(step, records, made.depth)
    with torch.no_grad():
        made.prepare(SIGMAS)
        assert torch.equal(made.predict(history, at(step, history)), expected)
    assert torch.equal(sampled(made).predict(history, at(step, history)), expected)


@pytest.mark.parametrize("records", ["all", "computed"])
def test_a_trained_lesa_adds_its_correction_to_the_base(records: str) -> None:
    made = made_on(TaylorSeerConfig(order=1), records, start=False)
    history, (newest, before) = held(5, records, made.depth)
    gain, taps = made.experts.gains(SIGMAS)[0, 0, 5].item(), made.experts.taps[0, 0].tolist()
    assert abs(gain) > 0.01
    newest_first = [history.feature(k) for k in range(min(3, len(history.entries)))]
    correction = sum(tap * each for tap, each in zip(taps, newest_first, strict=False)) + made.experts.bias.item()
    expected = newest + (newest - before) * (5 - 3) / (3 - 0) + gain * correction
    with torch.no_grad():
        made.prepare(SIGMAS)
        assert torch.allclose(made.predict(history, at(5, history)), expected, atol=1e-5)
    assert torch.allclose(sampled(made).predict(history, at(5, history)), expected, atol=1e-5)


def test_an_untrained_lesa_can_be_trained() -> None:
    made = made_on(TaylorSeerConfig(order=1), "computed")
    history, _ = held(5, "computed", made.depth)
    made.prepare(SIGMAS)
    made.predict(history, at(5, history)).square().sum().backward()
    assert any(bool(each.grad.any()) for each in made.parameters() if each.grad is not None)


def test_histories_are_as_long_as_the_base_needs_and_min_history_is_the_bases() -> None:
    computed, every = (made_on(TaylorSeerConfig(order=3), records) for records in ("computed", "all"))
    assert (computed.depth, every.depth) == (4, 7)  # step 7 reads the feature of step 0
    for made in (computed, every):
        assert (sampled(made).depth, sampled(made).records) == (made.depth, made.records)
        assert made.min_history(0) == sampled(made).min_history(0) == 1
    assert made_on(TaylorSeerConfig(order=0), "all").depth == SHAPE.depth


def test_computed_steps_are_tuned_as_the_base_tunes_them(tmp_path: Path) -> None:
    shape = TableShape(T, COMPUTED, 3, ("branch0",))
    settings = ArtifactMetadata(
        kind="fitted", settings=shape.as_json(), sigmas=SIGMAS, backbone="flux", tap=Tap.OUTPUT, config={}
    )
    tuning = torch.zeros(shape.tuning_size)
    tuning[3] = torch.tensor([-0.25, 0.5, 0.125])
    save_artifact(
        tmp_path / "fitted.safetensors", Artifact(settings, {"weights": torch.ones(shape.size), "tuning": tuning})
    )
    section = FittedPredictorConfig(weights=tmp_path / "fitted.safetensors")
    made = made_on(section, "computed")
    for predictor in (made, sampled(made)):
        assert predictor.tuning(StepContext(3, SIGMAS)) == Tuning(-0.25, 1.5, 0.125)
        assert predictor.tuning(StepContext(6, SIGMAS)) is None
        assert predictor.looks_ahead
    assert TrainableLesa(SHAPE, 0, records="computed", base=None).tuning(StepContext(3, SIGMAS)) is None


def test_how_far_back_computed_features_are() -> None:
    def reached(order: int, schedule: Any) -> int:
        return reach(Strategy(schedule, OneStage(), TaylorSeerConfig(order=order).build()), SIGMAS)

    assert [reached(order, Steps(COMPUTED)) for order in (0, 1, 2)] == [2, 5, 7]
    assert reached(1, Steps(tuple(range(T)))) == 1
    assert reached(1, SimpleNamespace(dynamic=True)) == T
    # It computes steps 0, 3, 6 and 7 because it knows what it has computed: step 5 reads the feature of step 0.
    assert reached(1, MagCache([1.0] * T, 1e9, 0.1, 2)) == 5


class Mixed(AffinePredictor):
    """Reads the other branch, corrects, and notes what it is told."""

    depth = 2

    def __init__(self, weights: Any) -> None:
        self.weights, self.told = weights, []

    def filter(self, entries: Any, ctx: StepContext) -> Filter:
        self.told.append(([entry.step for entry in entries], ctx.entries, ctx.others))
        return Filter(self.weights, 0.5, dict.fromkeys(ctx.others, (1.0, 2.0)))

    def correction(self, entries: Any, ctx: StepContext) -> Filter | None:
        return Filter((0.25, 0.75)) if len(entries) > 1 else None


class MixedConfig(PredictorConfig):
    kind: str = "mixed"
    of: Any = None

    def build(self) -> Predictor:
        return self.of


ENTRIES = tuple(EntryInfo(step, step in COMPUTED) for step in (7, 6, 5, 4, 3, 2, 1, 0))


def test_a_base_sees_what_it_would_see_alone_and_its_weights_go_to_their_features() -> None:
    mixed = Mixed((3.0, 4.0))
    base = Base(MixedConfig(of=mixed), None)
    ctx = StepContext(8, SIGMAS, entries=ENTRIES, others={"uncond": ENTRIES[1:]})
    found = base.filter(ENTRIES, ctx)
    assert found == Filter((0, 3.0, 0, 0, 4.0), 0.5, {"uncond": (1.0, 0, 0, 2.0)})
    two = (EntryInfo(6, True), EntryInfo(3, True))
    assert mixed.told == [([6, 3], two, {"uncond": two})]
    assert base.correction(ENTRIES[1:], ctx) == Filter((0.25, 0, 0, 0.75))
    assert base.correction(ENTRIES[-1:], ctx) is None


def test_weights_for_each_channel_are_spread_and_added_to() -> None:
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    base = Base(MixedConfig(of=Mixed(weights)), None)
    spread = base.filter(ENTRIES, StepContext(8, SIGMAS, entries=ENTRIES)).weights
    assert spread.tolist() == [[0, 0], [1, 2], [0, 0], [0, 0], [3, 4]]
    assert added(Filter(weights, 1.0), (10.0, 20.0, 30.0), 0.5) == Filter(
        torch.tensor([[11.0, 12.0], [23.0, 24.0], [30.0, 30.0]]), 1.5
    )
    assert added(Filter(weights), (10.0,), 0.0) == Filter(torch.tensor([[11.0, 12.0], [3.0, 4.0]]))
    assert added(Filter((1.0, 2.0), 1.0, {"a": (1.0,)}), (10.0,), 2.0) == Filter((11.0, 2.0), 3.0, {"a": (1.0,)})
    assert added(Filter((1.0,)), (10.0, 5.0), 0.0) == Filter((11.0, 5.0))


def test_the_bases_correction_of_computed_steps_is_kept() -> None:
    made = TrainableLesa(SHAPE, 0, base=Base(MixedConfig(of=Mixed((1.0,))), None))
    history, _ = held(4, "all", 5)
    expected = 0.25 * history.feature(0) + 0.75 * history.feature(3)
    assert torch.allclose(made.correct(history, at(3, history), history.feature(0)), expected)
    assert TrainableLesa(SHAPE, 0).correct(history, at(3, history), history.feature(0)) is None


class Bend(Predictor):
    def predict(self, history: Any, ctx: StepContext) -> torch.Tensor:
        return history.feature(0).tanh()


class ReadsPredictions(AffinePredictor):
    records = "all"

    def filter(self, entries: Any, ctx: StepContext) -> Filter:
        return Filter((1.0,))


class ForTwoStages(Mixed):
    num_stages = 2


@pytest.mark.parametrize(
    ("section", "records", "message"),
    [
        (MixedConfig(of=Bend()), "all", "predictor.base: 'mixed' is not affine in the history"),
        (MixedConfig(of=ReadsPredictions()), "computed", "'mixed' reads predictions too.*Set predictor.records to all"),
        (MixedConfig(of=ForTwoStages((1.0,))), "all", "it has 1 stage.*experts for 2"),
        (FittedPredictorConfig(), "computed", "predictor.base.weights: 'fitted' needs weights"),
    ],
)
def test_bases_that_cannot_be_one(section: PredictorConfig, records: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Base.start(section, task(), records)
    assert Base.start(MixedConfig(of=ReadsPredictions()), task(), "all").depth == 1


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({"kind": "fited"}, "predictor.base: kind: 'fited' is not a registered predictor. Known: .*Did you mean 'fitt"),
        ("fitted", "predictor.base: expected a mapping with a 'kind', one of .*'?fitted"),
        ({"order": 1}, "predictor.base: expected a mapping with a 'kind'"),
        ({"kind": "taylorseer", "order": 9}, "predictor.base: order: Input should be less than or equal to 4"),
        ({"kind": "taylorseer", "weights": "x"}, "predictor.base: weights: unknown key. Known: kind, order"),
    ],
)
def test_a_base_is_validated_as_any_predictor_is(base: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config({"schedule": {"kind": "always"}, "predictor": {"kind": "lesa", "base": base}})


def test_a_predictor_without_weights_is_made_of_none(tmp_path: Path) -> None:
    metadata = ArtifactMetadata(kind="taylorseer", settings={}, sigmas=SIGMAS, backbone="flux", tap=Tap.OUTPUT)
    with pytest.raises(ConfigError, match="'taylorseer' cannot be made of weights that another file holds"):
        TaylorSeerConfig().build_from(Artifact(metadata, {}))
    assert task().schedule.decide(StepContext(3, SIGMAS)) is Decision.COMPUTE
    save_artifact(tmp_path / "w.safetensors", Artifact(metadata, {}))
    with pytest.raises(ArtifactError, match="holds weights of 'taylorseer', not of 'fitted'"):
        Base.start(FittedPredictorConfig(weights=tmp_path / "w.safetensors"), task(), "all")
