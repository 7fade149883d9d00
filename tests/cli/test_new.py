"""`lesa new` writes packages that pass their conformance kits, and `lesa check` runs the kits on installed plugins."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lesa_framework.cli import check, new
from lesa_framework.errors import ConfigError
from lesa_framework.plugin.manager import Plugins
from tests.cli.conftest import Lesa

_RUFF = Path(sys.executable).with_name("ruff")


@pytest.fixture
def written(lesa: Lesa, workplace: Path, monkeypatch: pytest.MonkeyPatch):
    """`written("metric", "mine")` writes a package, and puts it where imports look."""
    names = []

    def write(section: str, name: str) -> Path:
        outcome = lesa("new", section, name)
        assert outcome.code == 0, outcome.err
        check = f'pytest "{Path(name) / "tests"}"' if section == "backbone" else f"lesa check {name}"
        assert outcome.out.endswith(f"check it: {check}\n")
        names.append(name)
        monkeypatch.syspath_prepend(str(workplace / name))
        return workplace / name

    yield write
    for name in names:
        for module in [each for each in sys.modules if each.partition(".")[0] == name]:
            del sys.modules[module]


@pytest.mark.parametrize("section", new.SECTIONS)
def test_what_is_written_passes_its_kit_as_it_is(section: str, written) -> None:
    name = f"my_{section}"
    folder = written(section, name)
    test = {"__name__": "test_contract"}
    exec(compile((folder / "tests" / "test_contract.py").read_text(), "test_contract.py", "exec"), test)
    test["test_it_keeps_its_contract"]()
    told = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert told["entry-points"]["lesa"] == {name: f"{name}.plugin"}
    assert told["optional-dependencies"] == {"test": ["pytest"]}
    readme = (folder / "README.md").read_text()
    assert "$" not in readme.replace("$ ", "")
    assert '\n$ pip install -e ".[test]"\n' in readme
    assert "\n$ pytest tests" in readme
    assert (f"\n$ lesa check {name}" in readme) is (section != "backbone"), "it has no kit of backbones"
    found = Plugins()
    found.add(name, importlib.import_module(f"{name}.plugin"))
    (outcome,) = check.checked(found.registry)
    expected = "not checked" if section == "backbone" else "passed"
    assert (outcome.section, outcome.kind, outcome.outcome) == (section, name, expected), outcome.detail


@pytest.mark.skipif(not _RUFF.exists(), reason="ruff is not installed")
def test_what_is_written_is_tidy(written, workplace: Path) -> None:
    for section in new.SECTIONS:
        written(section, f"a_{section}")
    for command in (
        ["check", "--isolated", "--select", "B,F,UP,N"],
        ["format", "--isolated", "--line-length", "120", "--check"],
    ):
        done = subprocess.run([_RUFF, *command, workplace], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predictr", "mine"), "must be one of predictor, schedule, router, backbone, metric, peer. Did you mean"),
        (("metric", "My-Metric"), "give small letters, digits and underscores"),
        (("metric", "lambda_"), "no underscore at an end"),
        *((("metric", name), "is a word of Python's own") for name in ("class", "none", "true", "false")),
        (("router", "null"), "configurations are YAML, which reads it as None. Choose another name."),
        (("metric", "error"), "results have a key of this name already. Choose another name."),
        (("metric", "torch"), "a module of this name is installed"),
        *(
            (("router", name), f"NAME {name}: a package of this name is installed. Choose another name.")
            for name in ("pykan", "scikit_image", "lesa_framework_reference")
        ),
        (("predictor", "taylorseer"), "lesa_taylorseer has a predictor of this name. Choose another name."),
        (("backbone", "module"), "lesa_module has a backbone of this name. Choose another name."),
        (("backbone", "auto"), "stands for the choice by the model's class. Choose another name."),
        (("predictor", "literal"), "its class would hide the Literal that its module imports. Choose another name."),
        (("predictor", "predictor"), "its class would hide the PredictorConfig that its module imports."),
        (("predictor", "filter"), "its class would hide the Filter that"),
        (("schedule", "field"), "its class would hide the Field that"),
        (("schedule", "decision"), "its class would hide the Decision that"),
    ],
)
def test_bad_input_is_refused(lesa: Lesa, workplace: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = lesa("new", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert not list(workplace.iterdir())


def test_nothing_is_overwritten(lesa: Lesa, written) -> None:
    folder = written("router", "thirds")
    (folder / "thirds" / "plugin.py").write_text("mine")
    outcome = lesa("new", "router", "thirds")
    assert outcome.code == 2
    assert (folder / "thirds" / "plugin.py").read_text() == "mine"


def test_what_breaks_its_contract_fails(lesa: Lesa, written, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written("router", "fourths")
    plugin = folder / "fourths" / "plugin.py"
    plugin.write_text(plugin.read_text().replace("self.num_stages - 1)", "self.num_stages)"))
    found = Plugins()
    found.add("fourths", importlib.import_module("fourths.plugin"))
    monkeypatch.setattr(check, "plugins", lambda: found)
    outcome = lesa("check", "fourths", "--json")
    assert outcome.code == 1
    assert "router 'fourths': not as the contract asks." in outcome.err
    (entry,) = json.loads(outcome.out)
    assert entry["outcome"] == "failed"
    assert "stage" in entry["detail"]


def test_what_a_kit_says_is_shown_as_it_is(lesa: Lesa, monkeypatch: pytest.MonkeyPatch) -> None:
    hint = 'pip install "lesa-framework[metrics]" [/b]'
    monkeypatch.setattr(
        check, "checked", lambda *_: [check.Checked("metric", "mine", "lesa_metrics", "not checked", hint)]
    )
    assert "lesa-framework[metrics]" in lesa("check", "lesa_metrics").out


def test_our_own_pass_and_what_needs_settings_says_so(lesa: Lesa) -> None:
    outcome = lesa(
        "check", "lesa_schedules", "lesa_routers", "lesa_taylorseer", "--config", "ref-flux-reuse-n7", "--json"
    )
    assert outcome.code == 0, outcome.err
    found = {entry["kind"]: entry for entry in json.loads(outcome.out)}
    assert found["steps"]["outcome"] == found["taylorseer"]["outcome"] == "passed"
    assert found["noise_levels"]["outcome"] == "not checked"
    assert "it needs settings: compute" in found["noise_levels"]["detail"]


def test_an_unknown_plugin_is_named(lesa: Lesa, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = lesa("check", "lesa_router")
    assert outcome.code == 2
    assert "is not installed. Installed: " in outcome.err
    assert "Did you mean 'lesa_routers'?" in outcome.err
    assert "`pip install -e FOLDER`" in outcome.err
    monkeypatch.setattr(check, "_others", list)
    assert "no plugin is installed besides ours" in lesa("check").err


def test_nothing_is_written_when_one_of_the_files_is_there(lesa: Lesa, workplace: Path) -> None:
    last = workplace / "mine" / "tests" / "test_contract.py"
    last.parent.mkdir(parents=True)
    last.write_text("mine")
    outcome = lesa("new", "router", "mine")
    assert outcome.code == 2
    assert "test_contract.py is there already" in outcome.err
    assert [path for path in (workplace / "mine").rglob("*") if path.is_file()] == [last]


def test_a_folder_beside_it_is_no_module_that_is_installed(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workplace / "half").mkdir()
    monkeypatch.syspath_prepend(str(workplace))
    assert "half/plugin.py" in new.package("router", "half")
    with pytest.raises(ConfigError, match="a module of this name is installed"):
        new.package("router", "json")
    with pytest.raises(ConfigError, match="is a word of Python's own"):
        new.package("router", "class")


def test_what_is_printed_can_be_pasted(lesa: Lesa, workplace: Path) -> None:
    for out, pasted in (("my plugins", '"my plugins/thirds[test]"'), ("$5", "'$5/thirds[test]'")):
        outcome = lesa("new", "router", "thirds", "--out", out)
        assert outcome.code == 0, outcome.err
        assert f"install it: pip install -e {pasted}\n" in outcome.out
    outcome = lesa("new", "backbone", "fourths", "--out", "my plugins")
    assert outcome.out.endswith(f'check it: pytest "{Path("my plugins") / "fourths" / "tests"}"\n')
