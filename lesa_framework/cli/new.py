"""`lesa new`: a small package with one plugin, which passes its conformance kit as it is."""

from __future__ import annotations

import ast
import keyword
import re
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files as resources
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated, Final

import typer
import yaml

from lesa_framework.cli import console, files
from lesa_framework.errors import ConfigError, did_you_mean, shortened
from lesa_framework.extras import is_installed
from lesa_framework.files import write_text
from lesa_framework.interfaces.metric import RESERVED
from lesa_framework.plugin.manager import plugins
from lesa_framework.plugin.registry import AUTO

#: Section -> how it is used, for the README of the package.
SECTIONS: Final = {
    "predictor": "In a configuration: `predictor: {kind: $name}`.",
    "schedule": "In a configuration: `schedule: {kind: $name}`.",
    "router": "In a configuration: `router: {kind: $name}`.",
    "backbone": "`backbone: {kind: auto}` finds it by the class of the model; `{kind: $name}` asks for it.",
    "metric": "In the file of a benchmark: `metrics: [$name]`.",
    "peer": "In the file of a benchmark: `peers: [$name]`.",
}
#: How it is checked, for the same.
_CHECKS: Final = """\
$$ lesa check $name    # runs the conformance kit on it
$$ pytest tests    # the same as a test, for this package's own CI"""
_CHECKS_OF_A_BACKBONE: Final = "$$ pytest tests    # runs the conformance kit on a small model"
#: How the class that a kit is given ends; other kits are given a configuration.
_TESTED: Final = {"metric": "", "peer": "Family"}
_NAME = re.compile("[a-z]([a-z0-9_]{0,59}[a-z0-9])?")  # packages may not end in an underscore


def command(
    section: Annotated[str, typer.Argument(metavar="SECTION", help=f"One of {', '.join(SECTIONS)}.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its kind, which is the package's name as well.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to make the folder NAME.")] = Path(),
) -> None:
    """Write a small package with one plugin, which passes its conformance kit as it is.

    Change what it does in NAME/NAME/plugin.py, and check it again as the last line says.

    Example: lesa new predictor damped_line
    """
    folder = out / name
    texts = {folder / path: text for path, text in package(section, name).items()}
    for path in texts:
        files.check_out_file(path)
        if path.exists():
            raise ConfigError(f"NAME {name}: {path} is there already. Choose another name, or another --out.")
    for path, text in texts.items():
        write_text(path, text)
    print_ = console.results().print
    print_(f"wrote {folder}: change {folder / name / 'plugin.py'} as you like", soft_wrap=True)
    print_(f"install it: pip install -e {_quoted(f'{folder}[test]')}", soft_wrap=True)
    # The kit of backbones needs a model, which the package's tests have and `lesa check` does not.
    check = f"pytest {_quoted(str(folder / 'tests'))}" if section == "backbone" else f"lesa check {name}"
    print_(f"check it: {check}", soft_wrap=True)


def package(section: str, name: str) -> dict[str, str]:
    """The files of a package, by their paths in it.

    Args:
        section: What the plugin is.
        name: Its kind.

    Raises:
        ConfigError: There is no such section, or the name cannot be a package's or is taken.
    """
    if section not in SECTIONS:
        near = did_you_mean(section, SECTIONS)
        raise ConfigError(f"SECTION {shortened(section)}: must be one of {', '.join(SECTIONS)}.{near}")
    _check_name(section, name)
    told = {"name": name, "Name": _class_of(name), "section": section}
    told["Tested"] = told["Name"] + _TESTED.get(section, "Config")
    told["use"] = Template(SECTIONS[section]).substitute(told)
    told["checks"] = Template(_CHECKS_OF_A_BACKBONE if section == "backbone" else _CHECKS).substitute(told)

    def filled(template: str) -> str:
        source = resources("lesa_framework.cli").joinpath("templates", f"{template}.txt")
        return Template(source.read_text("utf-8")).substitute(told)

    plugin = filled(f"{section}.plugin.py")
    if hidden := _hidden(plugin):
        raise ConfigError(
            f"NAME {name}: its class would hide the {hidden} that its module imports. Choose another name."
        )
    return {
        "pyproject.toml": filled("pyproject.toml"),
        "README.md": filled("README.md"),
        f"{name}/__init__.py": "",
        f"{name}/plugin.py": plugin,
        "tests/test_contract.py": filled("backbone.test.py" if section == "backbone" else "test.py"),
    }


def _check_name(section: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"NAME {shortened(name)}: give small letters, digits and underscores, no underscore at an end, "
            "such as damped_line."
        )
    if keyword.iskeyword(name) or keyword.iskeyword(_class_of(name)):
        raise ConfigError(f"NAME {name}: is a word of Python's own. Choose another name.")
    if (value := yaml.safe_load(name)) != name:
        raise ConfigError(f"NAME {name}: configurations are YAML, which reads it as {value}. Choose another name.")
    if (section, name) == ("backbone", AUTO):
        raise ConfigError(f"NAME {name}: stands for the choice by the model's class. Choose another name.")
    if section == "metric" and name in RESERVED:
        raise ConfigError(f"NAME {name}: results have a key of this name already. Choose another name.")
    registry = plugins().registry
    taken = registry.backbone_kinds() if section == "backbone" else getattr(registry, f"{section}s").names()
    if name in taken:
        raise ConfigError(f"NAME {name}: {taken[name]} has a {section} of this name. Choose another name.")
    spec = find_spec(name) if is_installed(name) else None
    if spec is not None and spec.origin is not None:  # with `python -m`, a folder of this name looks like a module
        raise ConfigError(f"NAME {name}: a module of this name is installed. Choose another name.")
    if _is_package(name):
        raise ConfigError(f"NAME {name}: a package of this name is installed. Choose another name.")


def _is_package(name: str) -> bool:
    """Whether `pip` knows a package of this name, such as pykan, whose module has another one."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _quoted(word: str) -> str:
    """A word of a command: cmd.exe knows double quotes alone, inside which other shells still read some characters."""
    return shlex.quote(word) if {*word} & {*'"$`!'} else f'"{word}"'


def _class_of(name: str) -> str:
    return name.title().replace("_", "")


def _hidden(source: str) -> str | None:
    """The class of a module that has the name of something that the module imports."""
    body = ast.parse(source).body
    imported = {each.name for node in body if isinstance(node, ast.ImportFrom) for each in node.names}
    return next((node.name for node in body if isinstance(node, ast.ClassDef) and node.name in imported), None)
