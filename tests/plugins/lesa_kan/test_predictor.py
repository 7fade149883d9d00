from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lesa_framework import ArtifactError, ConfigError, EntryInfo, RunInfo, StepContext, Strategy, Tap, load_config
from lesa_framework.artifacts import Artifact, ArtifactMetadata, load_artifact, save_artifact
from lesa_framework.report import plan_string
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.strategy import plan
from lesa_framework.training.graph_history import GraphHistory
from lesa_framework.types import Decision, Reason
from lesa_kan.base import Base
from lesa_kan.experts import ExpertShape
from lesa_kan.lesa import Lesa, TrainedLesa
from lesa_kan.predictor import LesaPredictorConfig
from lesa_kan.trainable_lesa import TrainableLesa
from lesa_routers.routers import Thresholds
from lesa_schedules.schedules import FixedInterval
from lesa_taylorseer.predictor import TaylorSeerConfig

SHAPE = ExpertShape(num_steps=12, stage_history=(3, 5, 4), hidden=(6,), branches=2)
SIGMAS = (*(1 - i / 12 for i in range(12)), 0.0)


def trainable(seed: int = 0, *, keep_kans: bool = True) -> TrainableLesa:
    made = TrainableLesa(SHAPE, seed, keep_kans=keep_kans)
    with torch.no_grad():
        made.experts.taps.add_(torch.randn(made.experts.taps.shape, generator=torch.Generator().manual_seed(seed)))
        made.experts.bias.add_(0.3)
    return made


def artifact(made: TrainableLesa, **changes: Any) -> Artifact:
    metadata = ArtifactMetadata(kind="lesa", settings=made.settings(), sigmas=SIGMAS, backbone="flux", tap=Tap.PRE_HEAD)
    return Artifact(metadata.model_copy(update=changes), made.tensors(SIGMAS))


def filled(count: int) -> tuple[History, list[torch.Tensor]]:
    """A history of `count` features; the list is newest first."""
    random = torch.Generator().manual_seed(count)
    features = [torch.randn(2, 3, 4, generator=random) for _ in range(count)]
    history = History(SHAPE.depth)
    for step, feature in enumerate(features):
        history.append(feature, EntryInfo(step, step % 2 == 0))
    return history, features[::-1]


def formula(made: TrainableLesa, features: list[torch.Tensor], index: int, stage: int, branch: int) -> torch.Tensor:
    """The paper's equation, by hand and in float64."""
    experts = made.experts
    kan = experts.kans[branch * SHAPE.num_stages + stage]
    d = torch.tensor([[SIGMAS[index] - sigma for sigma in SIGMAS]], dtype=torch.float64)
    gain = kan.double()(d).item()
    kan.float()
    total = torch.full_like(features[0], experts.bias[branch, stage].item(), dtype=torch.float64)
    for k in range(min(SHAPE.stage_history[stage], len(features))):
        total += experts.taps[branch, stage, k].item() * features[k].double()
    return features[0].double() + gain * total


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("branch", [0, 1])
@pytest.mark.parametrize("count", [3, 4, 5])
def test_prediction_equals_the_papers_formula(stage: int, branch: int, count: int) -> None:
    made = trainable()
    history, features = filled(count)
    ctx = StepContext(index=7, sigmas=SIGMAS, branch_index=branch, stage=stage, entries=history.entries)
    expected = formula(made, features, 7, stage, branch)
    assert torch.allclose(TrainedLesa(artifact(made)).predict(history, ctx).double(), expected, atol=1e-6)
    with torch.no_grad():
        made.prepare(SIGMAS)
        assert torch.allclose(made.predict(history, ctx).double(), expected, atol=1e-6)


@given(st.integers(0, 11), st.integers(0, 2), st.integers(0, 3), st.integers(3, 5))
def test_filter_sums_to_one_plus_gain_times_taps(index: int, stage: int, branch: int, count: int) -> None:
    gains, taps = torch.rand(2, 3, 12), torch.rand(2, 3, 5)
    lesa = Lesa(SHAPE, gains, taps, torch.rand(2, 3))
    entries = tuple(EntryInfo(step, True) for step in range(count))
    ctx = StepContext(index=index, sigmas=SIGMAS, branch_index=branch, stage=stage, entries=entries)
    used, own = min(SHAPE.stage_history[stage], count), min(branch, 1)
    expected = 1 + gains[own, stage, index] * taps[own, stage, :used].sum()
    assert sum(lesa.filter(entries, ctx).weights) == pytest.approx(expected.item(), abs=1e-5)


def paper_plan(interval: int) -> tuple[str, list[int]]:
    shape = ExpertShape(50)
    lesa = Lesa(shape, torch.zeros(1, 3, 50), torch.zeros(1, 3, 8), torch.zeros(1, 3))
    steps = plan(Strategy(FixedInterval(interval), Thresholds((0.9, 0.5)), lesa), [1 - i / 50 for i in range(51)])
    letters = plan_string([Decision.PREDICT if r is Reason.PREDICTED else Decision.COMPUTE for _, r in steps])
    return letters, [index for index, letter in enumerate(letters) if letter == "F"]


def test_plan_of_the_paper_at_n7() -> None:
    assert paper_plan(7)[0] == "FFFFPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPP"


@pytest.mark.parametrize(
    ("interval", "computed"),
    [
        (5, [0, 1, 2, 3, 7, 12, 17, 22, 27, 32, 37, 42, 47]),
        (6, [0, 1, 2, 3, 8, 14, 20, 26, 32, 38, 44]),
        (7, [0, 1, 2, 3, 9, 16, 23, 30, 37, 44]),
        (8, [0, 1, 2, 3, 10, 18, 26, 34, 42]),
        (10, [0, 1, 2, 3, 12, 22, 32, 42]),
    ],
)
def test_plans_of_the_paper(interval: int, computed: list[int]) -> None:
    assert paper_plan(interval)[1] == computed


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    made = trainable()
    save_artifact(tmp_path / "w.safetensors", artifact(made))
    config = LesaPredictorConfig(weights=tmp_path / "w.safetensors")
    history, features = filled(5)
    ctx = StepContext(index=4, sigmas=SIGMAS, stage=1, entries=history.entries)
    again = config.build().predict(history, ctx)
    assert torch.allclose(again.double(), formula(made, features, 4, 1, 0), atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"history": 8}, {"stage_history": (3, 5, 5)}, {"hidden": (7,)}, {"branches": 1}, {"grid": 4}]
)
def test_settings_that_are_not_the_weights_own_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    save_artifact(tmp_path / "w.safetensors", artifact(trainable()))
    (key,) = settings
    with pytest.raises(ConfigError, match=rf"predictor.{key}: asks for .* was trained with .*Leave the setting out"):
        LesaPredictorConfig(weights=tmp_path / "w.safetensors", **settings).build()
    same = {"stage_history": SHAPE.stage_history, "hidden": SHAPE.hidden, "branches": 2, "grid": 5}
    LesaPredictorConfig(weights=tmp_path / "w.safetensors", **same).build()


def test_sampling_needs_no_pykan(tmp_path: Path) -> None:
    save_artifact(tmp_path / "w.safetensors", artifact(trainable()))
    code = f"""
import sys
sys.modules["kan"] = None
from lesa_framework import build_strategy, load_config
from lesa_framework.runtime.strategy import plan
strategy = build_strategy(load_config({{
    "schedule": {{"kind": "fixed_interval", "interval": 4}},
    "router": {{"kind": "thresholds"}},
    "predictor": {{"kind": "lesa", "weights": {str(tmp_path / "w.safetensors")!r}}},
}}))
steps = plan(strategy, [1 - i / 12 for i in range(13)])
print(len([strategy.predictor.filter(ctx.entries, ctx) for ctx, reason in steps if reason == "predicted"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0


def test_other_grid_is_refused_or_tabulated_again() -> None:
    made = trainable(seed=3)
    other = tuple(sigma**2 for sigma in SIGMAS)
    run = RunInfo(other, "flux", Tap.PRE_HEAD)
    with pytest.raises(ArtifactError, match=r"another sigma grid.*of the training, set predictor.retabulate=true"):
        TrainedLesa(artifact(made)).check(run)
    lesa = TrainedLesa(artifact(made), retabulate=True)
    lesa.check(run)
    with torch.no_grad():
        gain = made.experts.gains(other)[0, 1, 6].item()
    entries = tuple(EntryInfo(step, True) for step in range(5))
    weights = lesa.filter(entries, StepContext(index=6, sigmas=other, stage=1, entries=entries)).weights
    assert weights[1] == pytest.approx(gain * made.experts.taps[0, 1, 1].item(), abs=1e-6)
    # Back on the training's grid, the trained table is used again.
    lesa.check(RunInfo(SIGMAS, "flux", Tap.PRE_HEAD))
    assert lesa.filter(entries, StepContext(index=6, sigmas=SIGMAS, stage=1, entries=entries)) == TrainedLesa(
        artifact(made)
    ).filter(entries, StepContext(index=6, sigmas=SIGMAS, stage=1, entries=entries))


def test_other_tap_backbone_and_length_are_refused() -> None:
    lesa = TrainedLesa(artifact(trainable()), retabulate=True)
    right = RunInfo(SIGMAS, "flux", Tap.PRE_HEAD)
    lesa.check(right)
    for wrong, words in (
        (replace(right, tap=Tap.OUTPUT), "tap"),
        (replace(right, backbone="wan"), "backbone"),
        (replace(right, sigmas=SIGMAS[1:]), "12 steps"),
    ):
        with pytest.raises(ArtifactError, match=words):
            lesa.check(wrong)


def test_weights_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="needs trained weights"):
        LesaPredictorConfig().build()


def test_weights_of_another_shape_of_settings_are_refused(tmp_path: Path) -> None:
    save_artifact(tmp_path / "w.safetensors", artifact(trainable(), settings={"layers": 3}))
    with pytest.raises(ArtifactError, match=r"not 'lesa' weights of this version \(num_steps: Field required\)"):
        LesaPredictorConfig(weights=tmp_path / "w.safetensors").build()


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("gains", lambda gains: gains[..., :3], r"'gains' is \(2, 3, 3\) and not \(2, 3, 12\)"),
        ("taps", lambda taps: taps[:, :2], "'taps' is"),
        ("bias", lambda bias: bias[:1], "'bias' is"),
        ("gains", lambda gains: gains * torch.nan, "'gains' has numbers that are not finite"),
    ],
)
def test_damaged_tables_are_refused_before_a_run(name: str, damage: Any, words: str) -> None:
    whole = artifact(trainable())
    with pytest.raises(ArtifactError, match=words):
        TrainedLesa(Artifact(whole.metadata, {**whole.tensors, name: damage(whole.tensors[name])}))


def test_weights_for_another_length_than_their_grid_are_refused() -> None:
    with pytest.raises(ArtifactError, match="made for 12 steps, but its grid has 11"):
        TrainedLesa(artifact(trainable(), sigmas=SIGMAS[1:]))


@pytest.mark.parametrize("missing", ["kan.0.1.scale_base", "kan.3.0.coef"])
def test_another_grid_needs_the_whole_kans(missing: str) -> None:
    whole = artifact(trainable())
    tensors = {name: tensor for name, tensor in whole.tensors.items() if name != missing}
    assert len(tensors) < len(whole.tensors)
    lesa = TrainedLesa(Artifact(whole.metadata, tensors), retabulate=True)
    with pytest.raises(ArtifactError, match=f"another grid needs the weights of the KANs.*{missing}"):
        lesa.check(RunInfo(tuple(sigma**2 for sigma in SIGMAS), "flux", Tap.PRE_HEAD))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_learning_on_half_precision_features_is_exact(dtype: torch.dtype) -> None:
    made = trainable()
    _, features = filled(5)
    half = History(SHAPE.depth)
    for step, feature in enumerate(reversed(features)):
        half.append(feature.to(dtype), EntryInfo(step, True))
    ctx = StepContext(index=7, sigmas=SIGMAS, stage=1, entries=half.entries)
    expected = formula(made, [feature.to(dtype).float() for feature in features], 7, 1, 0).to(dtype)
    with torch.no_grad():
        made.prepare(SIGMAS)
        # One rounding, at the end; now and then it falls to the other side.
        assert (made.predict(half, ctx) != expected).float().mean() < 0.05


def test_stages_of_router_and_experts_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 stage.*experts for 3"):
        Strategy(FixedInterval(4), Thresholds((0.5,)), TrainedLesa(artifact(trainable())))


def test_metadata_survives(tmp_path: Path) -> None:
    save_artifact(tmp_path / "w.safetensors", artifact(trainable()))
    assert load_artifact(tmp_path / "w.safetensors", "lesa").metadata.settings == SHAPE.as_json() | {
        "stage_history": [3, 5, 4],
        "hidden": [6],
        "grid_range": [-3.0, 3.0],
    }


def test_default_stages_follow_the_history() -> None:
    config = load_config({"schedule": {"kind": "always"}, "predictor": {"kind": "lesa", "history": 12, "hidden": [4]}})
    assert config.predictor.shape_for(10).stage_history == (4, 12, 12)


def test_before_it_knows_the_grid_it_reuses_the_newest() -> None:
    history, _ = filled(5)
    ctx = StepContext(7, SIGMAS, stage=1, entries=history.entries)
    assert torch.equal(trainable().predict(history, ctx), history.feature(0))


@pytest.mark.parametrize("base", [None, Base(TaylorSeerConfig(order=2), None)], ids=["alone", "on a line"])
def test_the_graph_of_a_run_holds_each_feature_once(base):
    made, size = TrainableLesa(SHAPE, 0, base=base), (1, 512, 8)
    made.prepare(SIGMAS)
    history, held = GraphHistory(made.depth), dict[int, int]()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.numel() >= 512 * 8:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        for index in range(3):
            history.append(torch.randn(size, dtype=torch.bfloat16), EntryInfo(index, True))
        for index in range(3, 12):
            ctx = StepContext(index, SIGMAS, stage=1, entries=history.entries)
            history.append(made.predict(history, ctx), EntryInfo(index, True))
    assert sum(held.values()) <= 12 * 2 * 512 * 8  # twelve features in bfloat16
    history.feature(0).float().sum().backward()
    assert any(each.grad is not None and each.grad.abs().sum() > 0 for each in made.parameters())
