"""The command line on a tiny pipeline in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lesa_framework.cli import run

#: What a small picture of the tiny pipeline needs.
SMALL = (
    "--height", "16", "--width", "16", "--true-cfg", "3", "--negative-prompt", "", "--call", "max_sequence_length=8",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


Lesa = Callable[..., Outcome]


@pytest.fixture(scope="session")
def model(flux_folder: Path) -> Path:
    """A diffusers pipeline folder with random weights."""
    return flux_folder


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lesa(workplace: Path, capsys: pytest.CaptureFixture[str]) -> Lesa:
    """`lesa("plan", "--config", ...)` runs a command in the workplace."""

    def call(*arguments: object) -> Outcome:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def cache(workplace: Path) -> Path:
    """A configuration file."""
    path = workplace / "mine.yaml"
    path.write_text(
        "schedule: {kind: fixed_interval, interval: 3, warmup: 2}\npredictor: {kind: taylorseer, order: 1}\n"
    )
    return path
