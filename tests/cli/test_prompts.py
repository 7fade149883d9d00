"""Prompts of a file for commands that fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesa_framework.cli.prompts import different_prompts
from tests.cli.conftest import Lesa


@pytest.mark.parametrize(
    ("lines", "different", "told"),
    [
        ("a ring\na box\n", ["a ring", "a box"], ""),
        ("a ring\na box\na ring\n a ring \n", ["a ring", "a box"], "2 of its 4 prompts repeat earlier ones"),
    ],
)
def test_a_prompt_that_is_repeated_is_taken_once_and_a_note_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str, different: list[str], told: str
) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text(lines)
    assert different_prompts(file, "--prompts") == different
    assert capsys.readouterr().err == (told and f"note: --prompts {file}: {told} and are left out.\n")


@pytest.mark.parametrize(
    "command", [("train", "--config", "ref-flux-lesa-n7"), ("search", "--model", "reference:flux", "--nfe", 3)]
)
def test_commands_that_fit_say_so_once(lesa: Lesa, workplace: Path, command: tuple[object, ...]) -> None:
    (workplace / "prompts.txt").write_text("a ring\n" * 8)
    outcome = lesa(*command, "--prompts", "prompts.txt", "--out", "prompts.txt")
    assert outcome.code == 2
    assert outcome.err.count("7 of its 8 prompts repeat earlier ones") == 1
