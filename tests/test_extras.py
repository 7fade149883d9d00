"""What may be missing is one line with the command that installs it."""

from __future__ import annotations

import builtins
import re
import tomllib
from pathlib import Path

import pytest

import lesa_framework as lesa
from lesa_framework import cli, extras
from lesa_framework.config.loading import load_config, parse_config
from lesa_framework.errors import ConfigError
from lesa_framework.pipelines import find_model, load_pipeline
from lesa_framework.plugin.catalog import Catalog

_PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
_INSTALL = 'Install with: pip install "lesa-framework[diffusers]"'


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment that has the wheel alone."""
    monkeypatch.setattr(extras, "is_installed", lambda module: False)


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_the_extras_are_those_of_the_package(extra: str) -> None:
    declared = {re.match(r"[\w-]+", each)[0].replace("_", "-") for each in _PYPROJECT["optional-dependencies"][extra]}
    assert {extras.package_of(module).replace("_", "-") for module in extras.EXTRAS[extra]} == declared


@pytest.mark.parametrize(
    "command",
    [
        ["generate", "a ring"],
        ["ui"],
        ["eval", "ref-flux-reuse-n7"],
        ["bench", "none.yaml"],
        ["train", "--config", "ref-flux-lesa-n7", "--out", "t"],
        ["search", "--model", "reference:flux", "--speedup", "5", "--out", "f"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.usefixtures("bare")
def test_a_command_says_at_once_what_it_needs(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: lesa {command[0]}: needs diffusers, transformers")
    assert line.endswith(_INSTALL)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--config", "ref-flux-lesa-n7"],
        ["search", "--model", "reference:flux", "--predictor", "lesa", "--speedup", "5"],
    ],
    ids=lambda command: command[0],
)
def test_what_a_fit_needs_is_said_before_a_model_is_loaded(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = extras.is_installed
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "kan" and there(module))
    loads = f"lesa_framework.cli.{command[0]}.load_pipeline"
    monkeypatch.setattr(loads, lambda *_, **__: pytest.fail("a model was loaded"))
    assert cli.run([*command, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "error: predictor.kind: fitting 'lesa': needs pykan, which is not installed. "
        'Install with: pip install "lesa-framework[kan]"\n'
    )


@pytest.mark.parametrize(
    ("absent", "how"),
    [
        (["kan", "matplotlib"], 'Install with: pip install "lesa-framework[kan]"'),
        (["kan", "some_module"], "The documentation of its plugin says how to install it."),
    ],
)
@pytest.mark.usefixtures("bare")
def test_without_an_extra_the_one_is_found_that_brings_all_that_is_missing(absent: list[str], how: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(how)):
        extras.check_installed("mine", absent, extra=None)


@pytest.mark.usefixtures("bare")
def test_the_demo_needs_the_bundled_models_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["demo"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: lesa demo: needs lesa-framework-reference, diffusers, transformers, ")
    assert line.endswith('Install with: pip install "lesa-framework[reference]"')


@pytest.mark.usefixtures("bare")
def test_a_bundled_name_says_how_to_install_what_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Catalog, "__contains__", lambda self, name: False)
    monkeypatch.setattr(Catalog, "names", lambda self: {})
    remedy = r'The bundled models .* not installed\. Install them with: pip install "lesa-framework\[reference\]"$'
    with pytest.raises(ConfigError, match=rf"'reference:flux' is neither .* {remedy}"):
        find_model("reference:flux")
    with pytest.raises(ConfigError, match=rf"'ref-flux-reuse-n7' is neither .* {remedy}"):
        load_config("ref-flux-reuse-n7")
    with pytest.raises(ConfigError, match=r"Presets: none\.$"):
        load_config("mine")


@pytest.mark.usefixtures("bare")
def test_a_pipeline_cannot_be_loaded_without_diffusers() -> None:
    with pytest.raises(ConfigError, match=r"^model: loading 'reference:flux': needs diffusers.*pip install"):
        load_pipeline("reference:flux", device="cpu")


@pytest.mark.usefixtures("bare")
def test_sharing_needs_the_library_of_the_hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs = f"needs huggingface-hub, which is not installed. {_INSTALL}"
    assert cli.run(["push", "none.yaml", str(tmp_path / "mine")]) == 2
    assert capsys.readouterr().err == f"error: lesa push: {needs}\n"
    config = parse_config({"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}, tmp_path, "mine")
    for who, call in (
        ("save_pretrained", lambda: lesa.save_pretrained(config, tmp_path / "mine")),
        ("push_to_hub", lambda: lesa.push_to_hub(config, "owner/cache")),
        ("'owner/cache'", lambda: lesa.from_pretrained("owner/cache")),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"{who}: {needs}")):
            call()
    assert not list(tmp_path.iterdir())


def test_what_turns_out_to_be_missing_later_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, absent = builtins.__import__, "skimage"

    def without(name: str, *rest: object) -> object:
        if name == "lesa_framework.cli.app":
            raise ModuleNotFoundError(f"No module named '{absent}'", name=f"{absent}.metrics")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert cli.run(["plugins"]) == 2
    assert capsys.readouterr().err == f"error: scikit-image is not installed. {_INSTALL}\n"
    absent = "lesa_framework_bug"
    with pytest.raises(ModuleNotFoundError):
        cli.run(["plugins"])


@pytest.mark.parametrize(("there", "shown"), [(True, 6), (False, 0)])
def test_help_says_what_commands_need_and_what_is_there(
    there: bool, shown: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lesa_framework.cli.app.is_installed", lambda module: there)
    assert cli.run(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Commands that need the extra 'diffusers'" in text
    assert text.count("(installed here)") == shown
    start = "lesa demo. Every" if there else f"{extras.install('reference')}, and then: lesa demo. Every"
    assert f"Start with: {start}" in text
    assert all(extras.install(extra) in text for extra in extras.EXTRAS)
