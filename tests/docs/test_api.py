"""docs/reference/api.md shows every public name; one without a docstring, or hidden by a module, is missing."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    "lesa_framework",
    *(
        f"lesa_framework.{name}"
        for name in ("artifacts", "cli", "files", "layout", "measure", "pipelines", "serving", "testing", "training")
    ),
]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The anchors of the built page."""
    site = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    return set(re.findall(r'id="(lesa_framework[\w.]*)"', (site / "reference" / "api.html").read_text("utf-8")))


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_on_the_page(rendered, module):
    names = [name for name in importlib.import_module(module).__all__ if name != "__version__"]
    assert [name for name in names if f"{module}.{name}" not in rendered] == []
    assert names


def test_nothing_else_is_shown_as_public(rendered):
    shown = {name.split(".")[1] for name in rendered if name.startswith("lesa_framework.")}
    submodules = {module.split(".")[1] for module in MODULES[1:]}
    assert shown <= {*importlib.import_module("lesa_framework").__all__, *submodules}
