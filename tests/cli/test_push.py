"""`lesa push`: to a folder, to a repository, and not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Lesa
from tests.cli.test_importing import RECORD, TABLE


def test_the_command(made: Path, hub: Path, lesa: Lesa, workplace: Path) -> None:
    outcome = lesa("push", made, "./out", "--base-model", "owner/model", "--licence", "mit", "--metric", "LPIPS=0.5")
    assert (outcome.code, outcome.err) == (0, "wrote out\n")
    assert "| LPIPS | 0.5 |" in Path("out/README.md").read_text()
    assert (lesa("push", "out", "owner/cache")).out == "commit of owner/cache\n"
    for name in ("out", "owner/cache"):
        outcome = lesa("plan", "--config", name, "--steps", "12", "--json")
        assert outcome.code == 0, outcome.err


def test_a_users_folder_whose_user_is_unknown_is_taken_as_it_stands(made: Path, lesa: Lesa, workplace: Path) -> None:
    assert lesa("push", made, "~no.such.user/cache").code == 0
    assert Path("~no.such.user/cache/config.yaml").is_file()


def test_a_model_of_this_machine_alone(made: Path, lesa: Lesa, workplace: Path) -> None:
    outcome = lesa("push", made, "./out")
    assert "note: it was fitted to a folder of this machine, 'model': others have to give --model." in outcome.err
    assert "/home/me" not in outcome.err
    assert "model: model}" in Path("out/config.yaml").read_text()
    assert lesa("push", made, "./out", "--base-model", "owner/model").err == "wrote out\n"
    assert "model: owner/model}" in Path("out/config.yaml").read_text()


def test_a_model_that_others_find_needs_no_word(lesa: Lesa, workplace: Path) -> None:
    outcome = lesa("push", "ref-flux-fitted-nfe10", "./out", "--base-model", "owner/model")
    assert outcome.err == "wrote out\n"
    assert "model: 'reference:flux'" in Path("out/config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["made/mine.yaml", ""], "REPO_OR_FOLDER: is empty."),
        (["", "./out"], "config: the name is empty."),
        (["no-such", "./out"], "is neither a file nor a preset"),
        (["made/mine.yaml", "made/mine.yaml"], "not a folder"),
        (["made/mine.yaml", "./out", "--metric", "LPIPS"], "--metric LPIPS: expected NAME=NUMBER"),
        (["made/mine.yaml", "./out", "--row", "mine"], "--row mine: names a row of a results file"),
        (["made/mine.yaml", "./out", "--results", "gone.json"], "gone.json: cannot be read"),
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


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [("l2p", TABLE), ("teacache", "498.65, -283.78, 55.86, -3.82, 0.264"), ("magcache", "1, 1.2, 1.1, 1, 0.9")],
)
def test_source_and_licence_of_an_import_are_on_the_card(lesa: Lesa, workplace: Path, kind: str, numbers: str) -> None:
    assert lesa("import", kind, "--values", numbers, *RECORD).code == 0
    assert lesa("push", "imported.yaml", "./out").code == 0
    card = Path("out/README.md").read_text()
    assert "license: apache-2.0" in card
    assert f"The numbers come from {RECORD[1]}." in card


def test_what_was_measured_is_on_the_card(lesa: Lesa, workplace: Path) -> None:
    file = Path(__file__).parents[2] / "benchmarks" / "results" / "fitted.json"
    row = next(row for row in json.loads(file.read_text())["rows"] if row["name"] == "ref-flux-fitted-nfe10")
    for more in ([], ["--row", "ref-flux-fitted-nfe10"]):
        assert lesa("push", "ref-flux-fitted-nfe10", "./out", "--results", file, *more).code == 0
        assert f"| this cache | 10 | 10 | {row['psnr_db']:.2f} |" in Path("out/README.md").read_text()
    assert (
        "computed 8 of 50 steps"
        in lesa("push", "ref-flux-fitted-nfe10", "./out", "--results", file, "--row", "ref-flux-fitted-nfe8").err
    )


@pytest.mark.parametrize("name", ["README.md", "config.yaml", "weights.safetensors"])
def test_files_of_others_are_not_replaced(made: Path, lesa: Lesa, workplace: Path, name: str) -> None:
    Path("out").mkdir()
    Path("out", name).write_text("precious\n---\nlibrary_name: lesa-framework\n")
    outcome = lesa("push", made, "./out")
    assert outcome.code == 2
    assert f"out: has a {name} already, and no model card of a feature cache says that it may be" in outcome.err
    assert [path.name for path in Path("out").iterdir()] == [name]
    assert Path("out", name).read_text().startswith("precious")


def test_a_folder_is_not_pushed_onto_itself(made: Path, lesa: Lesa, workplace: Path) -> None:
    assert lesa("push", made, "./out").code == 0
    for config in ("out", "out/config.yaml"):
        outcome = lesa("push", config, "./out")
        assert outcome.code == 2
        assert "this command reads that file. Name another one to write." in outcome.err
