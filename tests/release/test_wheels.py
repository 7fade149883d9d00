"""The two wheels: the first alone runs all that needs no bundled model, and the second brings these."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from safetensors import safe_open

from tests.release.clean import REFERENCE, ROOT, Clean, pip, project

#: Runs each command, as a shell would, in one process; prints for each its exit code, output and errors.
RUN = """
import contextlib, io, json, sys
from lesa_framework.cli import run
told = {}
for line in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(line.split())
    told[line] = code, out.getvalue(), err.getvalue()
print(json.dumps(told))
"""
CONFIG = """
schedule: {kind: even, compute: 10}
predictor: {kind: taylorseer, order: 1}
"""
TABLE = "[[0.75, 0.0, 0.0, 0.0], [-0.5, 1.5, 0.0, 0.0], [0.25, -0.1, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]"
COMMANDS = [
    "--help",
    "--version",
    "schema",
    "plugins",
    "plugins --section preset --json",
    "plan --config mine.yaml",
    "import l2p table.txt --out l2p.yaml --shift 1",
    "inspect l2p.safetensors",
    "new predictor mine",
    "check lesa_taylorseer lesa_schedules",
]


def test_the_two_belong_together() -> None:
    first, second = project(ROOT), project(REFERENCE)
    assert second["dependencies"] == [f"{first['name']}[diffusers]=={first['version']}"]
    assert first["optional-dependencies"]["reference"] == [second["name"]]
    for field in ("version", "license", "authors", "requires-python"):
        assert second[field] == first[field]
    assert (REFERENCE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_first_asks_for_a_transformers_that_reads_the_seconds_weights() -> None:
    """Before 5.6 it looks for CLIP's under `text_model.`, finds none, and leaves the text encoder as it was drawn."""
    configs = (REFERENCE / "models").glob("*/text_encoder*/config.json")
    clips = [path.parent for path in configs if json.loads(path.read_text())["architectures"] == ["CLIPTextModel"]]
    assert len(clips) == 2
    for folder in clips:
        with safe_open(folder / "model.safetensors", "pt") as weights:
            assert not any(name.startswith("text_model.") for name in list(weights.keys()))
    (asked,) = (
        each
        for each in map(Requirement, project(ROOT)["optional-dependencies"]["diffusers"])
        if each.name == "transformers"
    )
    assert ("5.5.99" in asked.specifier, "5.6.0" in asked.specifier) == (False, True)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first and the second wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, ROOT, REFERENCE)
    second, first = sorted(folder.iterdir(), key=lambda path: "reference" not in path.name)
    return first, second


def held(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.mark.slow
def test_each_file_is_in_one_of_them(wheels: tuple[Path, Path]) -> None:
    first, second = map(held, wheels)
    assert wheels[0].stat().st_size < 1.5e6
    assert {name.partition("/")[0] for name in second} == {"lesa_reference"}
    folders = [ROOT / "lesa_framework", *(path for path in (ROOT / "plugins").iterdir() if path != REFERENCE)]
    assert first == {found for folder in folders for found in files(folder)}
    assert second == set(files(REFERENCE)) - {"lesa_reference/LICENSE", "lesa_reference/pyproject.toml"}


def files(folder: Path) -> list[str]:
    found = (path.relative_to(folder.parent) for path in folder.rglob("*") if path.is_file())
    return [path.as_posix() for path in found if "__pycache__" not in path.parts]


def told(clean: Clean, commands: list[str], folder: Path) -> dict[str, tuple[int, str, str]]:
    return json.loads(clean.run("-c", RUN, json.dumps(commands), folder=folder).splitlines()[-1])


@pytest.mark.slow
def test_the_first_alone_and_then_the_second(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    clean = Clean(tmp_path / "venv", project(ROOT)["dependencies"])
    clean.install(wheels[0])
    work = tmp_path / "work"
    work.mkdir()
    (work / "mine.yaml").write_text(CONFIG)
    (work / "table.txt").write_text(TABLE)
    lacking = ["demo", "plan --config ref-flux-reuse-n7", "plan --config mine.yaml --model reference:flux"]
    alone = told(clean, [*COMMANDS, *lacking], work)
    assert {line: (code, err) for line, (code, _, err) in alone.items() if code and line not in lacking} == {}
    assert "reference:" not in alone["plugins"][1]
    assert json.loads(alone["plugins --section preset --json"][1]) == []
    assert 'presets are not installed: pip install "lesa-framework[reference]"' in alone["plugins"][2]
    for line in lacking:
        code, _, err = alone[line]
        assert (code, err.count("\n"), 'pip install "lesa-framework[reference]"' in err) == (2, 1, True), err
    printed = clean.run(ROOT / "examples" / "plain_dit.py", "--steps", "10", folder=work)
    assert "10 steps, 4 computed (2.50x)" in printed

    clean.install(wheels[1])
    both = told(clean, ["plugins --section preset --json", "plan --config ref-flux-reuse-n7"], work)
    assert {line: err for line, (code, _, err) in both.items() if code} == {}
    presets = {entry["kind"] for entry in json.loads(both["plugins --section preset --json"][1])}
    assert presets == {path.stem for path in (REFERENCE / "presets").glob("*.yaml")}
