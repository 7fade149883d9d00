"""`lesa search` on a tiny pipeline in a folder."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from lesa_framework.artifacts import load_artifact
from lesa_framework.cli.search_progress import Watch
from lesa_framework.pipelines import load_pipeline as load
from lesa_framework.search.budget import StepCost
from lesa_framework.search.record import load_record
from lesa_framework.search.run import SearchProgress
from tests.cli.conftest import SMALL, Lesa

BASE = ("search", "--prompts", "prompts.txt", "--steps", 8, *SMALL)


@pytest.fixture(autouse=True)
def prompts(workplace: Path) -> None:
    (workplace / "prompts.txt").write_text("a red ring\na blue square\na star\na ring\n")


def searched(*more: object, model: Path, out: str = "found") -> tuple[object, ...]:
    return (*BASE, "--model", model, "--out", out, "--predictor", "taylorseer", *more)


def test_from_a_speedup_to_a_configuration_that_runs(lesa: Lesa, model: Path, workplace: Path) -> None:
    outcome = lesa(*searched("--speedup", 2, "--tries", 4, model=model))
    assert outcome.code == 0, outcome.err
    assert "searching which 4 of 8 steps to compute, for 'taylorseer'." in outcome.err
    assert (
        "4 prompts are run uncached first. Candidates are tried on up to 2; the best are compared on 2 others."
        in outcome.err
    )
    assert "it ends after 4 candidates." in outcome.err
    assert "100% recording" in outcome.err
    assert re.search(r"100% searching, best [\d.]+ dB in the search \(even steps ", outcome.err)
    assert "note: only 4 candidates were tried; a search needs some dozens to find much." in outcome.err
    assert "wrote found/flux-taylorseer-nfe4.yaml (" in outcome.out
    assert " dB in the comparison; even steps " in outcome.out
    assert "go by those in the comparison." in outcome.err
    assert "try it: lesa eval found/flux-taylorseer-nfe4.yaml\n" in outcome.out
    assert "4 of 8 steps" in (workplace / "found" / "flux-taylorseer-nfe4.html").read_text()
    call = ("generate", "a red ring", "--model", model, "--steps", 8, *SMALL)
    drawn = lesa(*call, "--config", "found/flux-taylorseer-nfe4.yaml", "--out", "a.png")
    assert "4/8 steps computed" in drawn.out


def test_the_same_command_repeats_nothing(lesa: Lesa, model: Path) -> None:
    command = searched("--nfe", 3, "--tries", 3, "--json", "--name", "mine", model=model)
    first = lesa(*command)
    result = json.loads(first.out)
    assert result["config"] == "found/mine.yaml"
    assert (result["tries"], len(result["steps"]), result["weights"]) == (3, 3, None)
    assert result["judged_db"] > 0 < result["even_db"]
    assert result["final_db"] is None, "there is nothing to fit"
    assert result["judged_prompts"] == 2
    assert result["closer_prompts"] in {None, 0, 1, 2}
    again = lesa(*command)
    assert json.loads(again.out) == result
    assert "nothing is left to do: found/mine.yaml is from this search" in again.err


def test_a_finished_search_says_so_before_a_model_is_loaded(
    lesa: Lesa, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = shutil.copytree(model, tmp_path / "copy")
    (mine / "transformer").rename(tmp_path / "another disk")
    (mine / "transformer").symlink_to(tmp_path / "another disk", target_is_directory=True)
    command = searched("--nfe", 3, "--tries", 3, "--name", "mine", model=mine)
    assert lesa(*command).code == 0
    loads = []
    monkeypatch.setattr("lesa_framework.cli.search.load_pipeline", lambda *a, **k: loads.append(a) or load(*a, **k))
    again = lesa(*command)
    assert (again.code, loads) == (0, [])
    assert "nothing is left to do" in again.err
    assert "searching which" not in again.err
    (mine / "results.json").write_text("{}")  # no part of the model
    assert (lesa(*command).code, loads) == (0, [])
    for change in (
        lambda: os.utime(mine / "model_index.json", (1, 1)),  # perhaps another model: its numbers tell
        lambda: os.utime(tmp_path / "another disk" / "config.json", (1, 1)),
        lambda: Path("found/mine.yaml").unlink(),
        lambda: Path("found/mine.html").write_text("changed"),
    ):
        change()
        assert lesa(*command).code == 0
        assert len(loads) == 1, "it looked no further than the files"
        loads.clear()
        assert lesa(*command).code == 0
        assert loads == []
    more = lesa(*searched("--nfe", 3, "--tries", 4, "--name", "mine", model=mine))
    assert (more.code, len(loads)) == (0, 1)
    assert "nothing is left to do" not in more.err


def test_a_budget_in_seconds_is_measured_once(lesa: Lesa, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesa_framework.cli.search.measure_cost", lambda *_: StepCost(0.5, 0.0, 0.1))
    command = searched("--seconds", 2, "--tries", 2, "--json", model=model)
    outcome = lesa(*command)
    assert "3 of 8 steps can be computed in 2 s" in outcome.err
    assert json.loads(outcome.out)["config"] == "found/flux-taylorseer-2s.yaml"
    monkeypatch.setattr("lesa_framework.cli.search.measure_cost", lambda *_: StepCost(0.9, 0.0, 0.1))
    assert len(json.loads(lesa(*command).out)["steps"]) == 3


def test_another_budget_in_seconds_is_another_search(lesa: Lesa, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesa_framework.cli.search.measure_cost", lambda *_: StepCost(0.5, 0.0, 0.1))
    for seconds, code in ((2, 0), (2.05, 0), (3, 2)):  # 3 of 8 steps, 3 again, 5
        outcome = lesa(*searched("--seconds", seconds, "--tries", 2, "--name", "mine", model=model))
        assert outcome.code == code
    assert "found/mine.search.json: is the record of another search" in outcome.err


def test_a_linked_folder_and_a_relative_model(lesa: Lesa, model: Path, workplace: Path) -> None:
    (workplace / "flux").symlink_to(model)
    (workplace / "far" / "away").mkdir(parents=True)
    (workplace / "found").symlink_to("far/away")
    outcome = lesa(*searched("--nfe", 3, "--tries", 2, model=Path("flux")))
    assert outcome.code == 0, outcome.err
    assert "try it: lesa eval found/flux-taylorseer-nfe3.yaml" in outcome.out
    drawn = lesa("generate", "a", "--config", "found/flux-taylorseer-nfe3.yaml", "--out", "a.png")
    assert "3/8 steps computed" in drawn.out, drawn.err


def test_a_step_is_timed(lesa: Lesa, model: Path) -> None:
    outcome = lesa(*searched("--seconds", 1e-6, "--tries", 2, model=model))
    assert outcome.code == 2
    assert "--seconds 1e-06: " in outcome.err


def test_lesa_is_trained_on_the_steps_that_a_guide_found(lesa: Lesa, model: Path, workplace: Path) -> None:
    (workplace / "mine.yaml").write_text(
        "schedule: {kind: fixed_interval, interval: 3, warmup: 2}\n"
        "router: {kind: thresholds, boundaries: [0.9, 0.5]}\n"
        "predictor: {kind: lesa, history: 2, stage_history: [1, 2, 2], hidden: [4]}\n"
        "training: {batch: 2, guided_epochs: 1, closed_loop_epochs: 1}\n"
    )
    command = (*BASE, "--model", model, "--out", "found", "--config", "mine.yaml", "--nfe", 4, "--tries", 2)
    outcome = lesa(*command, "--guide", "taylorseer", "--json")
    assert outcome.code == 0, outcome.err
    assert "for 'lesa', tried with 'taylorseer'." in outcome.err
    assert "Then 'lesa' is fitted to the best." in outcome.err
    result = json.loads(outcome.out)
    assert result["weights"] == "found/flux-lesa-nfe4.safetensors"
    assert '"tries": 2' in lesa("inspect", result["weights"], "--json").out
    # What the steps gain is what the guide gains by them: LESA's own closeness on them is another thing.
    record = load_record(workplace / "found" / "flux-lesa-nfe4.search.json")
    assert record is not None
    assert record.outcome is not None
    assert record.final is not None
    assert (result["judged_db"], result["final_db"]) == (record.outcome.mean, record.final.mean)
    assert result["judged_db"] != result["final_db"]
    written = load_artifact(Path(result["weights"]), "lesa").metadata.training["search"]
    assert written["judged_db"] == pytest.approx(result["judged_db"], abs=1e-3)
    out = lesa(*command, "--guide", "taylorseer").out
    judged, even = record.outcome.mean, record.compared[0].mean
    assert f"({judged:.2f} dB in the comparison; even steps {even:.2f} dB; both with 'taylorseer')\n" in out
    assert f"fitted with the real settings: {record.final.mean:.2f} dB on the same prompts\n" in out


def test_fitted_is_searched_by_default_and_refined_in_the_end(lesa: Lesa, model: Path, monkeypatch) -> None:
    refined = ("--set", "training.fit=end_to_end", "--set", "training.iterations=2")
    command = (*BASE, "--model", model, "--out", "found", "--nfe", 3, "--tries", 2, "--json", *refined)
    outcome = lesa(*command)
    assert outcome.code == 0, outcome.err
    assert "Candidates are each fitted on 1 and tried on up to 1; the best are compared on 2 others." in outcome.err
    assert "Then 'fitted' is fitted to the best." in outcome.err
    assert re.search(r"% fitting, greedy, [\d.]+ dB in the fit\n", outcome.err)
    result = json.loads(outcome.out)
    assert result["weights"] == "found/flux-fitted-nfe3.safetensors"
    shown = lesa("inspect", result["weights"]).out
    assert "judged_db: in the search's comparison, on other prompts than those of the fit" in shown
    monkeypatch.setattr("lesa_fitted.predictor.FittedPredictorConfig.fit_needs", ("some_module",))
    assert lesa(*command).code == 0, "a finished search needs nothing any more"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "budget: none is given. Give exactly one of --nfe 10, --speedup 5 and --seconds 2.0."),
        (("--nfe", 3, "--speedup", 2), "--nfe and --speedup are given"),
        (("--nfe", 0), "--nfe 0: must be a positive number"),
        (("--nfe", 8), "of 8 steps 8 would be computed, so none is predicted. Valid: 1 to 7."),
        (("--nfe", 99), "of 8 steps 99 would be computed"),
        (("--speedup", 9), "of 8 steps less than one would be computed"),
        (("--speedup", "nan"), "must be a positive number"),
        (("--nfe", 3, "--tries", 0), "--tries 0: must be at least 1"),
        (("--nfe", 3, "--minutes", -1), "--minutes -1.0: must be above 0 and below 100,000"),
        (("--nfe", 3, "--minutes", "nan"), "--minutes nan: must be above 0"),
        (("--nfe", 3, "--minutes", 1e6), "--minutes 1000000.0: must be above 0 and below 100,000"),
        (("--nfe", 3, "--true-cfg", "nan"), "true_cfg_scale: nan is not a finite number"),
        (("--nfe", 3, "--steps", 1), "--steps 1: a run needs at least 2 steps"),
        (("--nfe", 3, "--name", "a/b"), "--name a/b: give up to 100 letters"),
        (("--nfe", 3, "--predictor", "tailor"), "'tailor' is not a registered predictor"),
        (("--nfe", 3, "--guide", "tailor"), "'tailor' is not a registered predictor"),
        (("--nfe", 3, "--guide", "lesa"), "--guide lesa: has no cheap fit. Give one of"),
        (("--nfe", 3, "--set", "schedule.compute=[0]"), "the schedule is what is searched for"),
        (("--nfe", 3, "--prompts", "missing.txt"), "--prompts missing.txt: cannot be read"),
        (("--nfe", 3, "--prompts", "few.txt"), "at least 4 different prompts, 2 to fit on and 2 to judge on; found 3"),
        (("--nfe", 3, "--call", "hight=3"), "FluxPipeline does not take it"),
        (("--nfe", 3, "--out", "prompts.txt"), "is a file, not a folder"),
        (("--nfe", 3, "--predictor", "lesa"), "router: it has 1 stage(s)"),
    ],
)
def test_bad_input_is_refused_and_writes_nothing(
    lesa: Lesa, model: Path, workplace: Path, arguments: tuple[object, ...], message: str
) -> None:
    (workplace / "few.txt").write_text("a red ring\na blue square\na star\n")
    before = set(workplace.rglob("*"))
    outcome = lesa(*searched(*arguments, model=model))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("error:") == 1
    assert set(workplace.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--predictor", "l2p"), "predictor.weights: missing. `lesa import l2p"),
        (("--predictor", "l2p", "--set", "predictor.weights=none.safetensors"), "none.safetensors"),
    ],
)
def test_a_predictor_that_cannot_be_made_is_refused_before_a_model_is_loaded(
    lesa: Lesa, model: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], message: str
) -> None:
    monkeypatch.setattr("lesa_framework.cli.search.load_pipeline", lambda *_, **__: pytest.fail("a model was loaded"))
    outcome = lesa(*searched("--nfe", 3, *arguments, model=model))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


@pytest.mark.parametrize("seed", [-1, 2**31 + 1, 10**30])
def test_a_seed_is_refused_by_the_name_that_the_user_gave_it(lesa: Lesa, model: Path, seed: int) -> None:
    outcome = lesa(*searched("--nfe", 3, "--seed", seed, model=model))
    assert outcome.code == 2
    assert "--seed" in outcome.err
    assert "training.seed" not in outcome.err


def test_a_folder_has_no_prompts_of_its_own(lesa: Lesa, model: Path) -> None:
    outcome = lesa("search", "--model", model, "--nfe", 3, "--out", "found")
    assert outcome.code == 2
    assert "has no source of prompts. Give a file with one prompt on each line." in outcome.err


def test_ctrl_c_says_how_to_resume(lesa: Lesa, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = searched("--nfe", 3, "--tries", 4, "--name", "mine", model=model)

    def stopped(stage: str, tried: int) -> str:
        def show(watch: Watch, step: SearchProgress) -> None:
            if step.stage == stage and len(step.record.tried) == tried:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Watch, "show", show)
            outcome = lesa(*command)
        assert outcome.code == 130
        return outcome.err

    assert "stopped before anything was tried. The same command starts afresh." in stopped("recording", 0)
    assert "stopped after 0 candidates. The same command resumes from found/mine.search.json." in stopped(
        "searching", 0
    )
    said = stopped("searching", 2)
    assert "stopped after 2 candidates, the best at " in said
    assert "The same command resumes from found/mine.search.json." in said
    assert "resuming" not in said
    resumed = lesa(*command)
    assert resumed.code == 0
    assert "resuming the stopped search: 2 candidates tried already." in resumed.err


def test_a_budget_that_leaves_no_choice_says_so(lesa: Lesa, model: Path) -> None:
    outcome = lesa(*searched("--nfe", 1, "--tries", 5, model=model))
    assert outcome.code == 0, outcome.err
    assert "note: this budget leaves 'taylorseer' 1 choice of steps, and it was tried." in outcome.err
    assert "candidates were tried" not in outcome.err
