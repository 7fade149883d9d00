from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lesa_framework import (
    AffinePredictor,
    Decision,
    EntryInfo,
    Filter,
    LesaWarning,
    PluginContractError,
    Reason,
    SchedulePolicy,
    StepContext,
    Strategy,
    Tuning,
)
from lesa_framework.artifacts import shifted_grid
from lesa_framework.cli.foreseen import Model, work_of_calls, work_of_steps
from lesa_framework.cli.planned_step import formula, planned_steps
from lesa_framework.measure.lineup import PREDICTED_STEP
from lesa_framework.run_plan import RunPlan
from lesa_framework.runtime.engine import Engine
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.types import HistoryPlace
from lesa_schedules.schedules import FixedIntervalConfig
from lesa_taylorseer.predictor import TaylorSeerConfig
from tests.cli.conftest import Lesa
from tests.runtime.loop import drive, engine

_GOLDEN = "FFFFPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPP"


@pytest.mark.parametrize("preset", ["ref-flux-reuse-n7", "ref-flux-taylorseer-n7"])
def test_presets_compute_the_steps_that_lesa_computes(lesa: Lesa, preset: str) -> None:
    plan = json.loads(lesa("plan", "--config", preset, "--json").out)
    assert plan["plan"] == _GOLDEN
    assert plan["nfe"] == 10


def test_weights_are_shown_by_step(lesa: Lesa, cache: Path) -> None:
    steps = json.loads(lesa("plan", "--config", "mine.yaml", "--steps", "8", "--json").out)["steps"]
    assert [step["decision"] for step in steps[:5]] == ["compute", "compute", "predict", "predict", "compute"]
    assert steps[2]["weights"] == {"1": 2.0, "0": -1.0}
    assert steps[0]["weights"] is None


def test_table(lesa: Lesa, cache: Path) -> None:
    out = lesa("plan", "--config", "mine.yaml", "--steps", "8").out
    assert "mine: 4 of 8 steps computed" in out
    assert "FFPPFPPF" in out
    assert "+2.000·h1 -1.000·h0" in out


def test_steps_that_differ_in_the_noise_level_alone_share_a_row(lesa: Lesa, cache: Path) -> None:
    cache.write_text(cache.read_text().replace("taylorseer, order: 1", "reuse"))
    reuse = ("plan", "--config", "mine.yaml", "--steps", "8")
    row = r"\n *2 to 3 +(cond +)?0\.9000 to 0\.8333 +0 +predict +predicted +\+1\.000·h1 *\n"
    assert re.search(row, lesa(*reuse).out)
    both = lesa(*reuse, "--branch", "cond", "--branch", "uncond").out
    assert re.search(row, both)
    assert re.findall(r"(\d to \d) +(\w+)", both)[:2] == [("0 to 1", "cond"), ("0 to 1", "uncond")]
    assert len(json.loads(lesa(*reuse, "--json").out)["steps"]) == 8


def test_other_weights_begin_another_row(lesa: Lesa, cache: Path) -> None:
    out = lesa("plan", "--config", "mine.yaml", "--steps", "8").out
    assert re.search(r"\n *3 +0\.8333 .*\+3\.000·h1 -2\.000·h0", out)


def test_the_model_s_own_grid(lesa: Lesa, cache: Path, model: Path) -> None:
    own = json.loads(lesa("plan", "--config", "mine.yaml", "--steps", "8", "--model", model, "--json").out)
    assumed = json.loads(lesa("plan", "--config", "mine.yaml", "--steps", "8", "--shift", "3", "--json").out)
    assert [step["sigma"] for step in own["steps"]] == pytest.approx([step["sigma"] for step in assumed["steps"]])


def test_transformers_that_take_turns_have_histories_of_their_own(
    lesa: Lesa, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {"cond": "FFPP", "uncond": "FFPP", "cond (transformer_2)": "FFPF", "uncond (transformer_2)": "FFPF"}
    run = RunPlan(shifted_grid(8, 3.0), 5, lines, {}, 0, HistoryPlace())
    monkeypatch.setattr("lesa_framework.cli.plan.find_model", lambda name: name)
    monkeypatch.setattr("lesa_framework.cli.plan.options.generation_settings", lambda *_, **__: None)
    monkeypatch.setattr("lesa_framework.cli.plan.sizes.with_frames", lambda *_: None)
    monkeypatch.setattr("lesa_framework.cli.plan._on_model", lambda *_: (run.sigmas, run))
    call = ("plan", "--config", "mine.yaml", "--steps", "8", "--model", "wan")
    told = json.loads(lesa(*call, "--json").out)
    assert (told["nfe"], told["plan"], told["branches"], told["steps"]) == (5, "FFPPFFPF", lines, [])
    shown = lesa(*call)
    assert "5 of 8 steps computed, 1.60x fewer" in shown.out
    assert "\ncond:                   FFPP....\n" in shown.out
    assert "\ncond (transformer_2):   ....FFPF\n" in shown.out
    assert "the transformers take turns" in shown.err
    model = Model(torch.device("cpu"), 0, (run,), 1)
    assert work_of_steps(model, 8) == [PREDICTED_STEP if letter == "P" else 1.0 for letter in "FFPPFFPF"]
    assert work_of_calls(model, 1, 8).endswith("5 of them computed: the whole model runs 10 times")
    assert model.branches == 2  # with and without the prompt


class Rich(AffinePredictor):
    """Everything that a filter may have."""

    depth = 2

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        others = {name: (0.25,) for name, held in ctx.others.items() if held}
        return Filter(torch.ones(1, 4), torch.ones(4), others)

    def correction(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter | None:
        return Filter((0.75, 0.25), 0.5) if len(entries) > 1 else None


class Tuned(Rich):
    """Asks computed steps differently after the first."""

    def tuning(self, ctx: StepContext) -> Tuning | None:
        return Tuning(-0.02, 1.25) if ctx.index else None


class Gate(SchedulePolicy):
    dynamic = True

    def decide(self, ctx: StepContext) -> Decision:
        raise AssertionError("a plan has no latents")


def test_numbers_for_each_channel_other_branches_and_corrections() -> None:
    strategy = Strategy(ComputeSteps((0, 2)), EqualStages(), Rich())
    rows = planned_steps(strategy, shifted_grid(4, 1.0), ("cond", "uncond"))
    first, corrected, predicted = rows[0], rows[4], rows[3]
    assert (first.branch, first.weights, first.others) == ("cond", None, {})
    assert (corrected.step, corrected.weights, corrected.bias) == (2, {2: 0.75, 0: 0.25}, 0.5)
    assert (predicted.step, predicted.branch) == (1, "uncond")
    assert predicted.weights == {0: "per channel"}
    assert predicted.others == {"cond": {0: 0.25}}
    assert formula(corrected) == "corrected: +0.750·h2 +0.250·h0 +0.5000"
    assert formula(predicted) == "per channel·h0 +0.250·cond:h0 per channel"


def test_how_computed_steps_are_asked() -> None:
    first, predicted, tuned, _ = planned_steps(
        Strategy(ComputeSteps((0, 2)), EqualStages(), Tuned()), shifted_grid(4, 1.0)
    )
    assert [(row.shift, row.scale) for row in (first, predicted, tuned)] == [(0, 1), (0, 1), (-0.02, 1.25)]
    assert formula(first) == ""
    assert formula(replace(tuned, weights=None)) == "asked at sigma 0.4800, latent x 1.2500"
    ahead = replace(tuned, weights=None, shift=0.0, scale=1.0, ahead=0.125)
    assert formula(ahead) == "asked +0.125 of the last way ahead"
    assert formula(tuned) == "asked at sigma 0.4800, latent x 1.2500, corrected: +0.750·h2 +0.250·h0 +0.5000"


def drive_all(loop: Engine, branches: Sequence[str]) -> None:
    """A run of 8 steps that calls every branch at each."""
    for step in range(8):
        for number, branch in enumerate(branches):
            drive(loop, [step], branch=branch, first=step == number == 0)


class Names(AffinePredictor):
    """Names a branch without asking whether it may."""

    def __init__(self, branch: str) -> None:
        self.branch = branch

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        return Filter((1.0,), others={self.branch: (0.1,)})


@pytest.mark.parametrize(("branch", "allowed"), [("uncond", "none"), ("a", "b"), ("b", "a"), ("hidden", "b")])
def test_a_branch_that_a_filter_may_not_name_is_the_same_error_as_in_a_run(branch: str, allowed: str) -> None:
    """A filter may name neither its own branch, nor one that is not there."""
    called = ("uncond",) if branch == "uncond" else ("a", "b")
    message = f"for branch '{branch}', which is this branch itself or has no features yet.* here: {allowed}\\."
    strategy = Strategy(ComputeSteps((0,)), EqualStages(), Names(branch))
    with pytest.raises(PluginContractError, match=message):
        planned_steps(strategy, shifted_grid(8, 1.0), called)
    loop = engine(Names(branch), computed=(0,))
    with pytest.raises(PluginContractError, match=message):
        drive_all(loop, called)


def test_a_plan_refuses_more_weights_than_there_are_features() -> None:
    class Long(AffinePredictor):
        def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
            return Filter((0.5, 0.5))

    with pytest.raises(PluginContractError, match="2 weights, but the history holds 1 features"):
        planned_steps(Strategy(ComputeSteps((0,)), EqualStages(), Long()), shifted_grid(4, 1.0))


def test_a_predictor_that_cannot_do_without_latents_cannot_be_planned(
    lesa: Lesa, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Peeks(AffinePredictor):
        def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
            assert ctx.latent is None
            return Filter((float(ctx.latent),))  # type: ignore[arg-type]  # the mistake to be named

    monkeypatch.setattr(TaylorSeerConfig, "build", lambda self: Peeks())
    outcome = lesa("plan", "--config", "mine.yaml", "--steps", "8")
    assert outcome.code == 2
    assert "Peeks fails in a plan (TypeError: float() argument must be" in outcome.err
    assert "`ctx.latent` and `ctx.computed_latent` are None there." in outcome.err


def test_a_branch_without_features_is_not_among_the_others_in_a_plan_as_in_a_run() -> None:
    class Sees(AffinePredictor):
        def __init__(self) -> None:
            self.seen: list[object] = []

        def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
            self.seen.append((ctx.index, ctx.branch, dict(ctx.others)))
            return Filter((1.0,))

        def correction(self, entries: Sequence[EntryInfo], ctx: StepContext) -> None:
            self.seen.append((ctx.index, ctx.branch, dict(ctx.others)))

    run, planned = Sees(), Sees()
    loop = engine(run, computed=(0, 4))
    drive_all(loop, ("a", "b"))
    planned_steps(Strategy(ComputeSteps((0, 4)), EqualStages(), planned), shifted_grid(8, 1.0), ("a", "b"))
    assert planned.seen == run.seen
    assert run.seen[0] == (0, "a", {})


def test_what_depends_on_data() -> None:
    strategy = Strategy(Gate(), EqualStages(), Rich())
    rows = planned_steps(strategy, shifted_grid(4, 1.0))
    assert [(row.decision, row.reason) for row in rows] == [(Decision.COMPUTE, Reason.HISTORY)] + [
        (None, Reason.DATA)
    ] * 3
    assert [row.weights for row in rows] == [None] * 4


def test_a_plan_that_depends_on_data(lesa: Lesa, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FixedIntervalConfig, "build", lambda self: Gate())
    plan = json.loads(lesa("plan", "--config", "mine.yaml", "--steps", "8", "--json").out)
    assert (plan["plan"], plan["nfe"]) == ("F" + "?" * 7, None)
    out = lesa("plan", "--config", "mine.yaml", "--steps", "8").out
    assert "8 steps; how many are computed depends on data" in out
    assert re.search(r"\n *1 to 7 .* depends on data *\n", out)


def test_branches_are_planned_one_after_the_other(lesa: Lesa, cache: Path) -> None:
    call = ("plan", "--config", "mine.yaml", "--steps", "8", "--branch", "cond", "--branch", "uncond")
    plan = json.loads(lesa(*call, "--json").out)
    assert plan["branches"] == {"cond": "FFPPFPPF", "uncond": "FFPPFPPF"}
    assert [step["branch"] for step in plan["steps"][:2]] == ["cond", "uncond"]
    assert "uncond: FFPPFPPF" in lesa(*call).out


def test_a_run_that_is_too_short_to_save_anything_is_planned_with_a_note(lesa: Lesa, cache: Path) -> None:
    short = ("--set", "schedule={kind: even, speedup: 5}", "--steps", "4", "--json")
    with warnings.catch_warnings():
        warnings.simplefilter("always", LesaWarning)
        outcome = lesa("plan", "--config", "mine.yaml", *short)
    assert outcome.code == 0
    assert json.loads(outcome.out)["plan"] == "FFFF"
    assert outcome.err.strip() == (
        "note: schedule: a run of 4 steps is too short to save anything, so every step is computed."
    )


def test_a_gate_of_others_depends_on_data(lesa: Lesa, cache: Path) -> None:
    out = lesa("plan", "--config", "mine.yaml", "--set", "schedule={kind: teacache}", "--steps", "12").out
    assert "mine: 12 steps; how many are computed depends on data" in out


@pytest.mark.parametrize("names", [("a", "a"), ("a", "b", "a"), ("",), (" ",)])
def test_each_branch_is_given_once_and_by_a_name(lesa: Lesa, cache: Path, names: tuple[str, ...]) -> None:
    outcome = lesa("plan", "--config", "mine.yaml", *(word for name in names for word in ("--branch", name)))
    assert outcome.code == 2
    assert "give each branch once, by its name, in the order of the calls" in outcome.err


def test_a_shift_is_that_of_a_grid_that_nothing_else_gives(lesa: Lesa, cache: Path, model: Path) -> None:
    plan = ("plan", "--config", "mine.yaml", "--steps", "4", "--shift", "1")
    assert [step["sigma"] for step in json.loads(lesa(*plan, "--json").out)["steps"]] == [1.0, 0.75, 0.5, 0.25]
    outcome = lesa(*plan, "--model", model)
    assert outcome.code == 2
    assert "--shift: with --model the noise levels are those of its sampler" in outcome.err
    outcome = lesa("plan", "--config", "ref-flux-lesa-n7", "--shift", "1")
    assert outcome.code == 2
    assert "noise levels" in outcome.err
