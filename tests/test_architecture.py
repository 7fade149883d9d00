"""The rooms of the package: which may import which, and what is public."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from lesa_framework.extras import package_of
from lesa_framework.plugin.manager import plugins

ROOT = Path(__file__).parents[1]
CORE, PLUGINS = ROOT / "lesa_framework", ROOT / "plugins"
#: The modules that plugins, examples and docs may import from; each has a list of its public names.
PUBLIC = (
    "lesa_framework",
    "lesa_framework.artifacts",
    "lesa_framework.cli",
    "lesa_framework.files",
    "lesa_framework.layout",
    "lesa_framework.measure",
    "lesa_framework.pipelines",
    "lesa_framework.serving",
    "lesa_framework.testing",
    "lesa_framework.training",
)
_CODE = re.compile(r"^( *)```python[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
#: The two distributions that this repository makes.
PROJECTS = [
    tomllib.loads(path.read_text("utf-8"))["project"]
    for path in (ROOT / "pyproject.toml", PLUGINS / "lesa_reference" / "pyproject.toml")
]
NAMES = {name for project in PROJECTS for name in project["entry-points"]["lesa"]}
#: Folders that other programs load by a group of theirs: what they are to `lesa` is what plugins are, and no more.
DOORS = {
    value.partition(".")[0]
    for project in PROJECTS
    for group, entries in project["entry-points"].items()
    if group != "lesa"
    for value in entries.values()
}
FOLDERS = NAMES | DOORS
#: Modules of engines that load us, and of what torch and pydantic cannot be without.
BROUGHT = {"sglang", "vllm_omni", "triton", "pydantic_core"}


def imported(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of every import in a Python source; the name is empty for a plain `import module`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


@pytest.mark.parametrize("folder", ["lesa_framework", "plugins", "tests/release"])
def test_all_that_is_imported_is_declared(folder: str) -> None:
    extras = PROJECTS[0]["optional-dependencies"]
    brought = [extras[each] for each in extras if each not in ("dev", "docs") or folder.startswith("tests")]
    lines = [*PROJECTS[0]["dependencies"], *(line for each in brought for line in each)]
    declared = {re.match(r"[\w-]+", line)[0].replace("_", "-") for line in lines}
    sources = [path.read_text("utf-8") for path in (ROOT / folder).rglob("*.py")]
    modules = {module.partition(".")[0] for source in sources for module, _ in imported(source)}
    foreign = modules - sys.stdlib_module_names - FOLDERS - BROUGHT - {"lesa_framework", "tests"}
    assert {package_of(module).replace("_", "-") for module in foreign} - declared == set()


def private_imports(source: str) -> list[str]:
    """Imports of the framework that are not public."""
    found = []
    for module, name in imported(source):
        if module.partition(".")[0] != "lesa_framework":
            continue
        if module not in PUBLIC or (name and name not in importlib.import_module(module).__all__):
            found.append(f"{module}.{name}".rstrip("."))
    return found


def snippets(page: Path) -> Iterator[str]:
    """The Python code of a Markdown page, dedented."""
    for indent, code in _CODE.findall(page.read_text("utf-8")):
        yield "\n".join(line.removeprefix(indent) for line in code.splitlines())


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_a_built_in_plugin_imports_only_public_names(name):
    for path in sorted((PLUGINS / name).rglob("*.py")):
        assert private_imports(path.read_text("utf-8")) == [], path.relative_to(ROOT)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.py")), ids=lambda path: path.name)
def test_examples_import_only_what_is_public(path):
    assert private_imports(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: path.name
)
def test_the_docs_import_only_what_is_public(page):
    for code in snippets(page):
        assert private_imports(code) == [], code


def test_the_check_of_imports_can_fail():
    assert private_imports("from lesa_framework.runtime.engine import Engine") == [
        "lesa_framework.runtime.engine.Engine"
    ]
    assert private_imports("from lesa_framework import Engine") == ["lesa_framework.Engine"]
    assert private_imports("import lesa_framework as lesa\nfrom lesa_framework import Filter") == []


def test_every_folder_of_plugins_is_registered_and_documented():
    folders = {path.name for path in PLUGINS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == FOLDERS
    assert not NAMES & DOORS
    assert all((PLUGINS / name / "README.md").is_file() for name in FOLDERS)


def test_every_plugin_is_installed_and_loaded():
    assert set(plugins().names()) >= NAMES


def test_the_core_imports_no_plugin():
    for path in CORE.rglob("*.py"):
        packages = {module.partition(".")[0] for module, _ in imported(path.read_text("utf-8"))}
        assert not packages & FOLDERS, path.relative_to(ROOT)


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_plugins_do_not_know_each_other(name):
    for path in (PLUGINS / name).rglob("*.py"):
        packages = {module.partition(".")[0] for module, _ in imported(path.read_text("utf-8"))}
        assert not packages & FOLDERS - {name}, path.relative_to(ROOT)


def test_no_rooms_of_the_core_import_each_other_in_a_circle():
    rooms: dict[str, set[str]] = {}
    for path in CORE.rglob("*.py"):
        room = path.relative_to(CORE).parts[0].removesuffix(".py")
        for module, name in imported(path.read_text("utf-8")):
            if module.partition(".")[0] == "lesa_framework":
                rooms.setdefault(room, set()).update({f"{module}.{name}".split(".")[1]} - {room})
    # A cycle is an error of its own, which names the rooms.
    assert "runtime" in TopologicalSorter(rooms).static_order()


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_lists_and_documents_its_names(module):
    found = importlib.import_module(module)
    assert all(hasattr(found, name) for name in found.__all__)
    assert f"::: {module}\n" in (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")


def test_files_stay_small():
    large = {
        str(path.relative_to(ROOT)): lines
        for folder in (CORE, PLUGINS, ROOT / "benchmarks", ROOT / "examples", ROOT / "tests")
        for path in folder.rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > 300
    }
    assert large == {}
