from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from benchmarks import reference_training
from benchmarks.reference_training import Case, serve


@pytest.mark.parametrize(("stage", "batch"), [("denoiser", 1), ("vae", 1), ("caption_score", 2)])
def test_a_process_answers_with_the_seconds_of_the_steps(
    stage: str, batch: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference_training, "_SCENES", 4)
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n2\n"))
    serve(Case("flux", stage, batch, (1, 1, 1), "cpu"))
    seconds = [float(line) for line in capsys.readouterr().out.splitlines()]
    assert len(seconds) == 2
    assert all(0 < value < 60 for value in seconds)


def test_checkouts_take_turns_and_the_ratio_is_the_median(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Process:
        def __init__(self, name: str) -> None:
            self.name, self.stdin = name, io.StringIO()

        def wait(self) -> int:
            return 0

    asked: list[str] = []
    answers = {"here": [1.0, 2.0, 1.0], "against": [2.0, 8.0, 3.0]}

    def turn(process: Any, steps: int) -> float:
        asked.append(process.name)
        return answers[process.name].pop(0) * steps

    names = iter(answers)
    monkeypatch.setattr(reference_training, "_start", lambda *_: Process(next(names)))
    monkeypatch.setattr(reference_training, "_turn", turn)
    reference_training.main(
        "flux", "denoiser", 2, "1,1", 1, reference_training.Path("other"), turns=3, steps=4, device="cpu"
    )
    result = json.loads(capsys.readouterr().out)
    assert asked == ["here", "against"] * 3
    assert (result["faster"], result["from"], result["to"]) == (3.0, 2.0, 4.0)
    assert (result["steps_per_s_here"], result["steps_per_s_against"]) == (1.0, 0.333)
    assert result["sizes"] == [1, 1]
