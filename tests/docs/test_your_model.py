"""The tutorial docs/tutorials/your-model.md, run from its first command to its last on a tiny random pipeline."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lesa_framework import load_config
from lesa_reference.prompts import main as draw
from tests.cli.conftest import SMALL, Lesa, lesa, model, workplace  # noqa: F401 - fixtures

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorials" / "your-model.md").read_text("utf-8")
#: Of the sampler; with fewer prompts and tries, and a smaller picture, all that differs from the page.
STEPS = 20
NFE = STEPS // 5


def shown(kind: str, title: str) -> str:
    """A file that the page shows."""
    (text,) = re.findall(rf'```{kind} title="{re.escape(title)}"\n(.*?)```', PAGE, re.DOTALL)
    return smaller(text)


def commands(program: str) -> list[list[str]]:
    """The arguments of a program, each time that the page runs it."""
    found = [line for line in PAGE.splitlines() if line.startswith(f"$ {program} ")]
    return [shlex.split(smaller(line).removeprefix(f"$ {program} ")) for line in found]


def smaller(text: str) -> str:
    """The same with fewer steps and tries, for a smaller picture."""
    changes = {
        '"${SAMPLING[@]}"': shlex.join(SMALL),
        "--minutes 3": "--tries 2",
        "nfe10": f"nfe{NFE}",
        "num_inference_steps=50": f"num_inference_steps={STEPS}",
        '"height": 64, "width": 64': '"height": 16, "width": 16',
        '"true_cfg_scale": 4.0': '"true_cfg_scale": 3.0',
        '"max_sequence_length": 16': '"max_sequence_length": 8',
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def test_the_page_runs_as_it_stands(
    lesa: Lesa,  # noqa: F811
    model: Path,  # noqa: F811
    workplace: Path,  # noqa: F811
) -> None:
    (workplace / "my-model").symlink_to(model, target_is_directory=True)
    (workplace / "straight-line.yaml").write_text(shown("yaml", "straight-line.yaml"))
    (workplace / "prompts.txt").write_text("".join(f"a ring and {number}\n" for number in range(6)))
    (workplace / "others.txt").write_text("a star\na blue star\n")
    more = {"train": ("--set", "training.iterations=1")}
    ran: dict[str, list[str]] = {}
    for arguments in commands("lesa"):
        outcome = lesa(*arguments, *more.get(arguments[0], ("--steps", STEPS)))
        assert outcome.code == 0, (arguments, outcome.err)
        ran.setdefault(arguments[0], []).append(outcome.out)
        if arguments[0] == "train":
            for source, target in commands("mv"):
                Path(source).rename(target)
    assert list(ran) == ["generate", "search", "eval", "train"]
    without, by_path, by_folder = ran["generate"]
    assert "chosen: taylorseer (no weights)" in without
    assert f"{NFE}/{STEPS} steps computed" in by_path
    assert f"chosen: my-model-fitted-nfe{NFE} (fitted, found)" in by_folder
    found = load_config(f"found/my-model-fitted-nfe{NFE}.yaml")
    assert (found.predictor.kind, found.backbone.tap) == ("fitted", "output")
    names = [row["name"] for row in json.loads((workplace / "results.json").read_text())["rows"]]
    assert f"my-model-fitted-nfe{NFE}" in names
    described = {
        name.replace("NAME", f"my-model-fitted-nfe{NFE}")
        for name in re.findall(r"^\| `(NAME\S+)` \|", PAGE, re.MULTILINE)
    }
    assert described == {path.name for path in (workplace / "found").iterdir()}
    space: dict[str, Any] = {}
    exec(compile(shown("python", "use.py"), "use.py", "exec", dont_inherit=True), space)
    assert space["session"].report.nfe == NFE


def test_the_configuration_on_the_page_is_valid(workplace: Path) -> None:  # noqa: F811
    (workplace / "found.yaml").write_text(shown("yaml", "found/my-model-fitted-nfe10.yaml"))
    config = load_config("found.yaml")
    assert (config.predictor.kind, config.backbone.tap, config.training.num_steps) == ("fitted", "output", 50)
    assert len(config.schedule.compute) == 10  # type: ignore[attr-defined]


@pytest.mark.parametrize("arguments", commands("python -m lesa_reference.prompts"), ids=" ".join)
def test_the_prompts_are_drawn(workplace: Path, arguments: list[str]) -> None:  # noqa: F811
    app = typer.Typer()
    app.command()(draw)
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert len(Path(arguments[-1]).read_text().splitlines()) == int(arguments[-3])


def test_the_model_to_follow_along_with_is_there() -> None:
    (source,) = re.findall(r"\$ cp -r (\S+) my-model", PAGE)
    assert (ROOT / source / "model_index.json").is_file()
