"""`lesa push`: to a folder, to a repository, and not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Lesa


def test_the_command(made: Path, hub: Path, lesa: Lesa, workplace: Path) -> None:
    outcome = lesa("push", made, "./out", "--base-model", "owner/model", "--licence", "mit", "--metric", "LPIPS=0.5")
    assert (outcome.code, outcome.err) == (0, "wrote out\n")
    assert "| LPIPS | 0.5 |" in Path("out/README.md").read_text()
    assert (lesa("push", "out", "owner/cache")).out == "commit of owner/cache\n"
    for name in ("out", "owner/cache"):
        outcome = lesa("plan", "--config", name, "--steps", "12", "--json")
        assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such", "./out"], "is neither a file nor a preset"),
        (["made/mine.yaml", "made/mine.yaml"], "not a folder"),
        (["made/mine.yaml", "./out", "--metric", "LPIPS"], "--metric LPIPS: expected NAME=NUMBER"),
        (["made/mine.yaml", "./out", "--base-model", "model"], "--base-model model: models of the hub are named"),
    ],
)
def test_a_wrong_call_writes_nothing(
    made: Path, lesa: Lesa, workplace: Path, arguments: list[str], message: str
) -> None:
    outcome = lesa("push", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert not Path("out").exists()
