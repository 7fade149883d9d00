from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from lesa_framework import Progress
from lesa_framework.cli.train import _Bar
from lesa_framework.processes import World
from tests.cli.conftest import SMALL, Lesa


@pytest.fixture
def learnt(workplace: Path) -> tuple[str, ...]:
    """The command that trains a small LESA; it wants a model and a folder."""
    (workplace / "mine.yaml").write_text(
        "schedule: {kind: fixed_interval, interval: 3, warmup: 2}\n"
        "router: {kind: thresholds, boundaries: [0.9, 0.5]}\n"
        "predictor: {kind: lesa, history: 3, hidden: [4]}\n"
        "training: {num_steps: 8, batch: 2, guided_epochs: 1, closed_loop_epochs: 1}\n"
    )
    (workplace / "prompts.txt").write_text("a red ring\na blue square\n")
    return ("train", "--config", "mine.yaml", "--prompts", "prompts.txt", *SMALL)


def test_what_is_trained_can_be_planned_inspected_and_sampled(
    lesa: Lesa, learnt: tuple[str, ...], model: Path, workplace: Path
) -> None:
    outcome = lesa(*learnt, "--model", model, "--out", "trained", "--json")
    assert outcome.code == 0, outcome.err
    assert "the same command resumes from the last checkpoint, or starts afresh if there is none." in outcome.err
    assert "50% guided, pass 1, loss" in outcome.err
    assert re.search(r"100% closed loop, pass 1, loss \S+ of one batch, [\d.]+ dB on this batch\n", outcome.err)
    result = json.loads(outcome.out)
    assert result["config"] == "trained/mine.yaml"
    assert "FFFPFPPF" in lesa("plan", "--config", result["config"]).out
    shown = lesa("inspect", result["weights"]).out
    assert "8 steps" in shown
    assert "drift_db: in the fit, on its held-out prompts if it has some" in shown
    assert "judged_db" not in shown, "only a search has one"
    call = ("generate", "a red ring", "--model", model, "--steps", 8, "--config", result["config"], *SMALL)
    assert "5/8 steps computed" in lesa(*call, "--out", "a.png").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "prompts.txt"), "is a file, not a folder"),
        (("--out", "prompts.txt/deeper"), "is a file, not a folder"),
        (("--out", "out", "--set", "training.seed=-1"), "training.seed"),
        (("--out", "out", "--set", "training.clip=.inf"), "training.clip"),
        (("--out", "out", "--set", "training.target=latent"), "'trajectory' or 'feature'"),
        (("--out", "out", "--set", "predictor.grid_range=[3, -3]"), "the range must rise"),
        (("--out", "out", "--set", "predictor.grid_range=[-3, .inf]"), "finite number"),
        (("--out", "out", "--set", "training.num_steps=3"), "no step would be predicted"),
        (("--out", "out", "--call", "max_sequence_length=100000"), "FluxPipeline refuses the call"),
        (("--out", "out", "--call", "hight=3"), "FluxPipeline does not take it"),
    ],
)
def test_bad_input_is_refused_and_writes_nothing(
    lesa: Lesa, learnt: tuple[str, ...], model: Path, workplace: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = set(workplace.rglob("*"))
    outcome = lesa(*learnt, "--model", model, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("error:") == 1
    assert set(workplace.rglob("*")) == before


@pytest.mark.filterwarnings("ignore")  # numbers overflow: this is what is provoked
def test_a_training_that_diverges_has_failed(lesa: Lesa, learnt: tuple[str, ...], model: Path, workplace: Path) -> None:
    rates = ("--set", "training.closed_loop_lr=1.0e+37", "--set", "training.lr_schedule=constant")
    outcome = lesa(*learnt, "--model", model, "--out", "out", *rates, "--set", "training.closed_loop_epochs=3")
    assert (outcome.code, outcome.out) == (1, "")
    assert "it diverged" in outcome.err
    assert not (workplace / "out" / "mine.safetensors").exists()


def test_ctrl_c_says_how_to_resume(
    lesa: Lesa, learnt: tuple[str, ...], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_in(stage: str) -> str:
        def show(bar: _Bar, step: Progress) -> None:
            if step.stage == stage:
                raise KeyboardInterrupt

        monkeypatch.setattr(_Bar, "show", show)
        outcome = lesa(*learnt, "--model", model, "--out", "out", "--set", "training.batch=1")
        assert outcome.code == 130
        return outcome.err

    assert "stopped before anything was saved. The same command starts afresh." in stop_in("guided")
    assert "stopped. The same command resumes from out/mine.checkpoint.safetensors." in stop_in("closed loop")


@pytest.mark.parametrize("keeps_the_checkpoint", [True, False])
def test_deleting_what_a_finished_training_names_trains_again(
    lesa: Lesa, learnt: tuple[str, ...], model: Path, workplace: Path, keeps_the_checkpoint: bool
) -> None:
    command = (*learnt, "--model", model, "--out", "out")
    assert lesa(*command).code == 0
    if not keeps_the_checkpoint:
        (workplace / "out" / "mine.checkpoint.safetensors").unlink()
    finished = lesa(*command)
    (line,) = (line for line in finished.err.splitlines() if "nothing is left to do" in line)
    assert "guided" not in finished.err
    assert re.search(r"\(closeness of the latents to the uncached run's: [\d.]+ dB, in the fit: on its", finished.out)
    for name in re.findall(r"out/\S+", line):
        (workplace / name).unlink()
    again = lesa(*command)
    assert again.code == 0, again.err
    assert "50% guided, pass 1" in again.err


@pytest.mark.parametrize("command", [("train",), ("search", "--nfe", 4, "--name", "mine")], ids=["train", "search"])
def test_the_weights_of_a_base_are_not_overwritten(
    lesa: Lesa, learnt: tuple[str, ...], model: Path, workplace: Path, command: tuple[object, ...]
) -> None:
    base = workplace / "fits" / "mine.safetensors"
    base.parent.mkdir()
    base.write_bytes(b"of the base")
    (workplace / "prompts.txt").write_text("a red ring\na blue square\na star\na dot\n")
    (workplace / "mine.yaml").write_text(
        "schedule: {kind: steps, compute: [0, 2, 5]}\n"
        "predictor: {kind: lesa, stage_history: [3], base: {kind: fitted, weights: fits/mine.safetensors}}\n"
        "training: {num_steps: 8, batch: 2}\n"
    )
    outcome = lesa(*command, *learnt[1:], "--model", model, "--out", "fits")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--out fits/mine.safetensors: this command reads that file." in outcome.err
    assert base.read_bytes() == b"of the base"
    assert list(base.parent.iterdir()) == [base]


@pytest.mark.parametrize(
    ("batch", "processes", "said"),
    [
        (1, 2, "2 processes share each batch, and training.batch is 1: one of them does nothing that counts."),
        (1, 4, "4 processes share each batch, and training.batch is 1: 3 of them do nothing that counts."),
        (2, 2, None),
        (2, 4, None),  # of two prompts no batch has more
        (1, 1, None),
    ],
)
def test_processes_without_a_part_of_the_batch_are_told_of(
    lesa: Lesa,
    learnt: tuple[str, ...],
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    processes: int,
    said: str | None,
) -> None:
    monkeypatch.setattr("lesa_framework.cli.train.console.together", lambda: nullcontext(World(size=processes)))
    outcome = lesa(*learnt, "--model", model, "--out", "out", "--set", f"training.batch={batch}")
    assert outcome.code == 0, outcome.err
    notes = [line for line in outcome.err.splitlines() if "processes share" in line]
    assert notes == ([] if said is None else [f"note: {said} Use --set training.batch={processes}, or more."])
