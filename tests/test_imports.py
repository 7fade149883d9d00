"""The core needs torch and little more: shown in processes of their own, in which the extras cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXTRAS = (
    "diffusers",
    "transformers",
    "accelerate",
    "cache_dit",
    "hicache_pp",
    "kan",
    "tokenizers",
    "huggingface_hub",
    "matplotlib",
    "sklearn",
    "pandas",
    "torchmetrics",
)

BLOCK = f"""
import sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Blocker())
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


#: What takes most of the time, where it is not needed: torch, and what configurations and tables are made with.
HEAVY = ("torch", "numpy", "pydantic", "yaml", "safetensors", "pluggy", *EXTRAS)
COMMAND = """
from lesa_framework.cli import main
sys.argv = ["lesa", {arguments}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.mark.parametrize(
    "program",
    [
        "import lesa_framework",
        "import lesa_framework\nassert lesa_framework.__version__",
        COMMAND.format(arguments='"--version"'),
        COMMAND.format(arguments='"--help"'),
    ],
    ids=["import", "version of the package", "lesa --version", "lesa --help"],
)
def test_what_needs_no_torch_imports_nothing_heavy(program):
    printed = run(f"import sys\n{program}\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))")
    assert printed.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["accelerate", "load_config"])
def test_the_first_public_name_imports_torch_and_none_of_the_extras(name):
    printed = run(
        f"import sys, lesa_framework\nlesa_framework.{name}\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    found = printed.strip()
    assert "'torch'" in found
    assert not any(f"'{extra}'" in found for extra in EXTRAS)


def test_loading_every_plugin_imports_none_of_the_extras():
    loaded = run(
        "import sys, lesa_framework as lesa\n"
        "from lesa_framework.plugin.manager import plugins\n"
        "names = plugins().names()\n"
        "lesa.load_config({'schedule': {'kind': 'always'}, 'predictor': {'kind': 'lesa', 'weights': 'x'}})\n"
        f"print(len(names), sorted(set({EXTRAS!r}) & set(sys.modules)))"
    )
    count, found = loaded.split(maxsplit=1)
    assert int(count) >= 7
    assert found.strip() == "[]"


def test_the_core_works_without_the_extras():
    printed = run(
        BLOCK
        + """
import torch
import lesa_framework as lesa
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, TinyPipeline, check_predictor
from lesa_framework.plugin.manager import plugins

class Tiny:
    @lesa.hookimpl
    def lesa_register(self, registrar):
        registrar.add_backbone("tiny", TinyDiTAdapter)

plugins().add("tiny", Tiny())
for predictor in ("reuse", "taylorseer"):
    config = lesa.load_config({"schedule": {"kind": "fixed_interval", "interval": 4}, "predictor": {"kind": predictor}})
    check_predictor(config.predictor)
    pipe = TinyPipeline(TinyDiT())
    bare = pipe()
    with lesa.accelerate(pipe, config) as session:
        assert not torch.equal(pipe(), bare)
    assert torch.equal(pipe(), bare)
    print(session.report.plan())
"""
    )
    assert printed.split() == ["FFFPPPFPPPFP"] * 2


def test_the_command_line_works_without_the_extras():
    printed = run(
        BLOCK
        + """
from lesa_framework.cli import main
sys.argv = ["lesa", "plugins", "--json"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    )
    assert "taylorseer" in printed


def test_public_modules_import_no_test_framework():
    printed = run(
        "import sys, lesa_framework, lesa_framework.testing, lesa_framework.training.checkpoint\n"
        f"print(sorted({{'pytest', 'hypothesis', '_pytest', *{EXTRAS!r}}} & set(sys.modules)))"
    )
    assert printed.strip() == "[]"
