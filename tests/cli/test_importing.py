"""`lesa import`: what others publish, and what is none of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lesa_framework.artifacts import load_artifact
from tests.cli.conftest import SMALL, Lesa
from tests.plugins.lesa_kan.release import release_tensors, save_release

RECORD = ("--source", "https://example.org/numbers", "--licence", "Apache-2.0")
TABLE = "[[0.75, 0.0, 0.0, 0.0], [-0.5, 1.5, 0.0, 0.0], [0.25, -1e-1, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]\n"


def planned(lesa: Lesa, name: str, *more: str) -> dict:
    outcome = lesa("plan", "--config", name, "--json", *more)
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_l2p_becomes_weights_and_a_configuration(lesa: Lesa, workplace: Path) -> None:
    Path("weight.txt").write_text(TABLE)
    outcome = lesa("import", "l2p", "weight.txt", "--out", "mine/l2p.yaml", "--shift", "1", *RECORD)
    assert (outcome.code, outcome.err.splitlines()[:2]) == (0, ["wrote mine/l2p.safetensors", "wrote mine/l2p.yaml"])
    assert "note: the schedule is 2 even steps" in outcome.err
    metadata = load_artifact(Path("mine/l2p.safetensors"), "l2p").metadata
    assert metadata.sigmas == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert (metadata.backbone, metadata.tap) == ("flux", "output")
    assert metadata.training["imported_from"] == "weight.txt"
    assert (metadata.training["source"], metadata.training["licence"]) == (RECORD[1], RECORD[3])
    assert len(metadata.training["sha256"]) == 64
    assert metadata.config["schedule"] == {"kind": "even", "compute": 2}
    steps = planned(lesa, "mine/l2p.yaml", "--set", "schedule={kind: steps, compute: [0, 2]}")["steps"]
    assert steps[1]["weights"] == {"0": 0.75}
    assert steps[3]["weights"] == pytest.approx({"2": 1.0, "1": -0.1, "0": 0.25})
    assert "https://example.org/numbers" in lesa("inspect", "mine/l2p.yaml").out


@pytest.mark.parametrize(
    "text",
    [
        "0.75 0 0 0\n-0.5 1.5 0 0\n0.25 -1e-1 1 0\n0 0 0 1\n",
        "\n 0.75, 0.0, 0.0, 0.0,\r\n-0.5,1.5,0,0\n\n0.25\t-1e-1\t1\t0\n0 0 0 1",
    ],
)
def test_l2p_in_plain_text(lesa: Lesa, workplace: Path, text: str) -> None:
    tables = []
    for given in (text, TABLE):
        Path("weight.txt").write_text(given)
        outcome = lesa("import", "l2p", "weight.txt", "--out", f"l2p{len(tables)}.yaml", *RECORD)
        assert outcome.code == 0, outcome.err
        tables.append(load_artifact(Path(f"l2p{len(tables)}.safetensors"), "l2p").tensors["weights"])
    assert tables[0].equal(tables[1])


@pytest.mark.parametrize(
    "text",
    [
        "498.65, -283.78, 55.86, -3.82, 0.264\n",
        "498.65 -283.78 55.86\n-3.82 0.264",
        "[498.65, -283.78, 55.86, -3.82, 0.264]",
        "[ 498.65 , -283.78,55.86\n, -3.82,\n0.264,\n]\n",
        '{"coefficients": [498.65, -283.78, 55.86, -3.82, 0.264]}',
        "coefficients:\n- 498.65\n- -283.78\n- 55.86\n- -3.82\n- 0.264\n",
    ],
)
def test_teacache_in_every_notation(lesa: Lesa, workplace: Path, text: str) -> None:
    Path("poly").write_text(text)
    outcome = lesa("import", "teacache", "poly", "--out", "tea.yaml", *RECORD)
    assert outcome.code == 0
    assert "with that threshold every step is computed. Choose one of your own." in outcome.err
    written = yaml.safe_load(Path("tea.yaml").read_text())
    assert written == {
        "schedule": {
            "kind": "teacache",
            "coefficients": [498.65, -283.78, 55.86, -3.82, 0.264],
            "source": RECORD[1],
            "licence": RECORD[3],
        },
        "predictor": {"kind": "reuse"},
    }
    assert planned(lesa, "tea.yaml")["nfe"] is None


def test_numbers_on_the_command_line(lesa: Lesa, workplace: Path) -> None:
    outcome = lesa("import", "magcache", "--values", "1, 1.2 1.1, 1, 0.9", "--out", "mag.yaml")
    assert outcome.code == 0
    assert yaml.safe_load(Path("mag.yaml").read_text())["schedule"]["ratios"] == [1, 1.2, 1.1, 1, 0.9]
    assert planned(lesa, "mag.yaml", "--steps", "20")["plan"].count("P") > 0


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ((), "note: no --source and no --licence was given, so the record of the numbers lacks both.\n"),
        (RECORD[:2], "note: no --licence was given, so the record of the numbers lacks it.\n"),
        (RECORD[2:], "note: no --source was given, so the record of the numbers lacks it.\n"),
        (RECORD, ""),
    ],
)
def test_what_the_record_lacks_is_named(lesa: Lesa, workplace: Path, given: tuple[str, ...], note: str) -> None:
    outcome = lesa("import", "magcache", "--values", "1, 1.2", *given)
    assert (outcome.code, outcome.err) == (0, f"wrote imported.yaml\n{note}")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("l2p", "__import__('os').system('touch gone')", "expected a list of lists of numbers"),
        ("l2p", "[" * 100_000, "expected a list of lists of numbers"),
        ("l2p", "[[1.0, 0.0], [1.0]]", "expected as many rows as columns"),
        ("l2p", "[[1.0]]", "expected as many rows as columns, 2 to 1000"),
        ("l2p", "[[1.0, 2.0], [0.0, 1.0]]", "weights for later steps"),
        ("l2p", "[[1.0, 0.0], [1e999, 1.0]]", "'inf' is not finite"),
        ("l2p", "[[1..0, 0.0], [1, 1.0]]", "expected a list of lists of numbers"),
        ("l2p", "", "expected a list of lists of numbers"),
        ("l2p", "1 0\n0.5,,1", "row 2: item 2 is empty"),
        ("l2p", "1 0\n0.5 1..0", "'1..0' is no number"),
        ("l2p", "1 0\n1", "expected as many rows as columns"),
        ("l2p", "1 0\n1 open('x')", "or a row of numbers on each line"),
        ("teacache", "1, 2, 3", "expected 5 coefficients, the highest power first; found 3"),
        ("teacache", "a: [1, 2", "neither a list of numbers nor YAML or JSON"),
        ("teacache", "[!!bool x, 1, 2, 3, 4]", "neither a list of numbers nor YAML or JSON"),
        ("teacache", '[!!int "", 1, 2, 3, 4]', "neither a list of numbers nor YAML or JSON"),
        ("teacache", "[!!timestamp x, 1, 2, 3, 4]", "neither a list of numbers nor YAML or JSON"),
        ("teacache", f"[0x{'f' * 4000}, 1, 2, 3, 4]", "what is beyond 1.8e308 is no number here"),
        ("teacache", "{ratios: [1, 2]}", "alone or as `coefficients: [...]`"),
        ("teacache", "a: &a [1]\nb: [*a, *a]\ncoefficients: [*a, 1]", "expected numbers, found a list"),
        ("teacache", f"coefficients: [{'9' * 400}]", "is no number"),
        ("teacache", "[1, 2, 3, 4, five]", "'five' is no number"),
        ("teacache", "[1, 2, 3, 4, .nan]", "'nan' is not finite"),
        ("magcache", "1, -1, 1", "expected positive ratios"),
        ("magcache", "1", "expected positive ratios, at least 2"),
        ("magcache", "[]", "expected positive ratios, at least 2"),
        ("magcache", "1.0, 1.2,, 1.1", "item 3 is empty, so a number is missing"),
        ("magcache", "[1.0,\n,1.1]", "item 2 is empty, so a number is missing"),
        ("magcache", ", 1.2, 1.1", "item 1 is empty, so a number is missing"),
        ("magcache", "1.0, 1.2,,", "item 3 is empty, so a number is missing"),
        ("magcache", ",", "item 1 is empty, so a number is missing"),
        ("magcache", "", "expected a list of numbers"),
        ("magcache", "1" * (4 * 2**20 + 1), "at most 4,194,304 are read"),
    ],
)
def test_what_is_none_of_that(lesa: Lesa, workplace: Path, kind: str, text: str, message: str) -> None:
    Path("given.txt").write_text(text)
    outcome = lesa("import", kind, "given.txt", "--out", "out.yaml")
    assert outcome.code == 2
    assert outcome.err.startswith("error: given.txt: ")
    assert message in outcome.err
    assert sorted(path.name for path in workplace.iterdir()) == ["given.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["taylorseer", "--values", "1"],
            "'taylorseer' imports nothing. Kinds that do: l2p, lesa, magcache, teacache.",
        ),
        (["teacash", "--values", "1"], "Did you mean 'teacache'?"),
        (["teacache"], "give either a file or --values"),
        (["teacache", "a", "--values", "1"], "give either a file or --values"),
        (["teacache", "missing.txt"], "missing.txt: cannot be read"),
        (["teacache", "--values", "1 2 3 4 5", "--out", "a.json"], "--out a.json: name a .yaml file."),
        (["l2p", "--values", TABLE, "--backbone", "fluxx"], "'fluxx' is not a registered backbone"),
        (["teacache", "--values", "1 2 3 4 5", "--licence", "x" * 300], "schedule.licence"),
        (
            ["teacache", "--values", "1 2 3 4 5", "--shift", "1", "--tap", "output"],
            "--tap, --shift: only for weights, and",
        ),
    ],
)
def test_a_wrong_call(lesa: Lesa, workplace: Path, arguments: list[str], message: str) -> None:
    outcome = lesa("import", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert not any(workplace.iterdir())


@pytest.mark.parametrize(
    ("kind", "numbers", "name"),
    [
        ("teacache", "1 2 3 4 5", "mine.yaml"),
        ("l2p", TABLE, "mine.yaml"),
        ("l2p", TABLE, "mine.safetensors"),
    ],
)
def test_a_file_that_is_there_is_not_replaced(lesa: Lesa, workplace: Path, kind: str, numbers: str, name: str) -> None:
    Path(name).write_text("trained for hours")
    outcome = lesa("import", kind, "--values", numbers, "--out", "mine.yaml")
    assert (outcome.code, outcome.err) == (2, f"error: {name}: exists. Delete it or name another --out.\n")
    assert [path.name for path in workplace.iterdir()] == [name]
    assert Path(name).read_text() == "trained for hours"


def test_weights_of_another_configuration_are_nothing_to_a_gate(lesa: Lesa, workplace: Path) -> None:
    Path("mine.safetensors").write_text("trained for hours")
    assert lesa("import", "teacache", "--values", "1 2 3 4 5", "--out", "mine.yaml").code == 0
    assert Path("mine.safetensors").read_text() == "trained for hours"


def test_weights_are_refused_for_another_number_of_steps(lesa: Lesa, workplace: Path) -> None:
    assert lesa("import", "l2p", "--values", TABLE, *RECORD).code == 0
    outcome = lesa("plan", "--config", "imported.yaml", "--steps", "7")
    assert outcome.code == 2
    assert outcome.err.endswith("for 4 steps, but the run has 7. Run 4 steps.\n")


@pytest.mark.filterwarnings("default::lesa_framework.LesaWarning")
def test_a_checkpoint_of_lesas_authors_runs_on_a_pipeline(lesa: Lesa, workplace: Path, model: Path) -> None:
    save_release(Path("theirs.pt"), release_tensors(12))
    outcome = lesa("import", "lesa", "theirs.pt", "--out", "lesa.yaml", "--shift", "3", "--model", model, *RECORD)
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[:2] == ["wrote lesa.safetensors", "wrote lesa.yaml"]
    assert "note: taken as weights for" in outcome.err
    assert "--backbone hunyuan_video" in outcome.err
    metadata = load_artifact(Path("lesa.safetensors"), "lesa").metadata
    assert (metadata.training["source"], metadata.training["licence"]) == (RECORD[1], RECORD[3])
    assert planned(lesa, "lesa.yaml")["plan"] == "FFFFPPPPPFPP"
    assert planned(lesa, "lesa.yaml", "--set", "schedule.interval=5")["plan"] == "FFFFPPPFPPPP"
    made = lesa("generate", "a red ring", "--config", "lesa.yaml", "--steps", 12, "--out", "ring.png", *SMALL)
    assert made.code == 0, made.err
    assert "5/12 steps computed" in made.out
    plain = planned(lesa, "lesa.yaml", "--model", model, *SMALL)
    assert plain["plan"] == "FFFFPPPPPFPP"
    refused = lesa("plan", "--config", "lesa.yaml", "--steps", 20)
    assert refused.code == 2
    assert "trained for 12 steps, but the run has 20" in refused.err


def test_a_checkpoint_that_would_run_something_is_refused(lesa: Lesa, workplace: Path) -> None:
    save_release(Path("theirs.pt"), {"latent.0.weight": Path("gone")})
    outcome = lesa("import", "lesa", "theirs.pt", "--out", "lesa.yaml", *RECORD)
    assert outcome.code == 2
    assert outcome.err.startswith("error: theirs.pt: refused, because it would run 'pathlib")
    assert sorted(path.name for path in workplace.iterdir()) == ["theirs.pt"]
    for arguments in (["--values", "1"], ["theirs.pt", "--values", "1"], []):
        assert "give the file that was published" in lesa("import", "lesa", *arguments).err
