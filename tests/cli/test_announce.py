"""Long work says from its first second what it will do, and a stopped one what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesa_framework import Progress
from lesa_framework.cli import generate, results
from lesa_framework.cli.train import _Bar
from tests.cli.conftest import SMALL, Lesa


def first(text: str) -> str:
    return text.splitlines()[0]


def test_images_are_announced_and_a_stop_says_which_are_there(
    lesa: Lesa, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, sample = [], generate._sample

    def once(*given: object) -> object:
        if batches:
            raise KeyboardInterrupt
        batches.append(given)
        return sample(*given)

    monkeypatch.setattr(generate, "_sample", once)
    outcome = lesa("generate", "a ring", "--model", model, "--steps", 4, "--count", 2, "--batch", 1, *SMALL)
    assert outcome.code == 130
    assert first(outcome.err) == f"making 2 images of 4 steps with {model}, to images"
    assert "stopped after 1 of 2 images; they are in images. The same command starts afresh." in outcome.err


def test_a_comparison_is_announced_and_a_stop_says_what_resumes(
    lesa: Lesa, cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "run_bench", stop)
    outcome = lesa("eval", cache, "--model", model, "--steps", 8, "--prompts", cache, *SMALL)
    assert outcome.code == 130
    assert first(outcome.err).startswith(
        "comparing 1 cache with the uncached run and with fewer steps: 2 samples each, 8 "
    )
    assert outcome.err.endswith("starts afresh. `lesa bench` measures the same and resumes.\n")


def test_a_benchmark_says_where_it_keeps_what_is_finished(
    lesa: Lesa, workplace: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lesa_framework.cli.bench.run_bench", stop)
    (workplace / "b.yaml").write_text(f"models: {{'{model}': {{}}}}\nnfe: [2]\nprompts: {{texts: [a ring]}}\n")
    outcome = lesa("bench", "b.yaml")
    assert outcome.code == 130
    assert first(outcome.err) == (
        f"measuring {model} (1 sample per row), to b.json. Finished parts are kept in b.cells: stop when you like, the "
        "same command resumes."
    )


def test_training_says_on_which_prompts_its_decibels_are(capsys: pytest.CaptureFixture[str]) -> None:
    bar = _Bar()
    bar.show(Progress("greedy", 1, 2, drift_db=20.0))
    bar.show(Progress("end to end", 2, 2, loss=-14.27, drift_db=18.91, held_out=True))
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(" 50% greedy, pass 1, 20.00 dB on this batch")
    assert said[-1] == "100% end to end, pass 1, loss -14.2700 of one batch, 18.91 dB on held-out prompts"


def test_training_says_how_long_is_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr("lesa_framework.cli.console.time.monotonic", lambda: now[0])
    bar = _Bar()

    def show(stage: str, done: int, at: float) -> str:
        now[0] = at
        bar.show(Progress(stage, done, 20))
        return capsys.readouterr().err.splitlines()[-1]

    assert "left" in show("resuming", 8, 0.0)
    assert show("guided", 9, 500.0).endswith("40% guided, pass 1")  # it ran the model without a cache too
    assert show("guided", 11, 540.0).endswith("50% guided, pass 1, about 3 minutes left")
    assert show("closed loop", 12, 900.0).endswith("60% closed loop, pass 1")
    assert show("closed loop", 14, 940.0).endswith("70% closed loop, pass 1, about 2 minutes left")
    assert show("closed loop", 20, 980.0).endswith("100% closed loop, pass 1")
