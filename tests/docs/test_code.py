"""Python and YAML on the pages: it compiles, its imports and our names exist, and whole configurations are valid."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import lesa_framework
from lesa_framework import load_config
from tests.docs.pages import Block, blocks

#: Packages that a page lets its reader write, and servers that are not installed with us.
THEIRS = ("my_package", "comfy", "comfy_api", "sglang", "vllm_omni")
SECTIONS = {"schedule", "router", "predictor", "backbone", "engine", "training"}
PYTHON = blocks("python")
#: A predictor that two pages define themselves: tests/examples fits it.
EXAMPLES = "kind: two_weights"
CONFIGURATIONS = [
    block
    for block in blocks("yaml")
    if block.text.count("schedule:") == 1
    and block.text.count("predictor:") == 1
    and "models:" not in block.text
    and EXAMPLES not in block.text
]


def parsed(block: Block) -> ast.Module:
    """Its syntax tree."""
    return ast.parse(block.text, block.page)


def imported(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Each module that is imported, with each name that is taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), alias.name) for alias in node.names)


@pytest.mark.parametrize("number", range(len(PYTHON)), ids=lambda number: f"{PYTHON[number].page}-{number}")
def test_a_python_block_compiles_and_finds_its_names(number: int) -> None:
    tree = parsed(PYTHON[number])
    for module, name in imported(tree):
        if module.partition(".")[0] in THEIRS:
            continue
        if not module.startswith("lesa_"):
            assert find_spec(module.partition(".")[0]) is not None, module
        elif name is None:
            import_module(module)
        else:
            assert name in dir(import_module(module)) or find_spec(f"{module}.{name}") is not None, (module, name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "lesa":
            assert node.attr in lesa_framework.__all__, f"lesa.{node.attr}"


@pytest.mark.parametrize("number", range(len(CONFIGURATIONS)), ids=lambda number: CONFIGURATIONS[number].page)
def test_a_whole_configuration_is_valid(number: int, tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(CONFIGURATIONS[number].text)
    assert load_config(path).predictor.kind == yaml.safe_load(path.read_text())["predictor"]["kind"]


def test_each_line_of_a_plugins_examples_is_valid(tmp_path: Path) -> None:
    rest = {"schedule": "schedule: {kind: always}\n", "predictor": "predictor: {kind: reuse}\n"}
    checked = 0
    for block in (block for block in blocks("yaml") if block.page.startswith("plugins/")):
        for line in block.text.splitlines():
            section = line.partition(":")[0]
            if section in SECTIONS - {"training"} and "..." not in line and "weights" not in line:
                path = tmp_path / "shown.yaml"
                path.write_text("".join(text for name, text in rest.items() if name != section) + line)
                load_config(path)
                checked += 1
    assert checked > 15
