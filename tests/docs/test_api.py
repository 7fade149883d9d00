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
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built docs."""
    site = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    return site


@pytest.fixture(scope="module")
def rendered(site: Path) -> set[str]:
    """The anchors of the page."""
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


#: What makes a browser fetch something, with an address on another host.
LOADS = re.compile(
    r"""<(?:script|img|source|iframe)\b[^>]*\bsrc(?:set)?=["']?(?:https?:)?//|"""
    r"""<link\b(?![^>]*rel=["']?canonical)[^>]*\bhref=["']?(?:https?:)?//|"""
    r"""@import\s+["'(]|\bimport\(["']https?:|url\(["']?https?:"""
)


@pytest.mark.parametrize(
    ("html", "loads"),
    [
        ('<script defer src="https://a.b/require.js"></script>', True),
        ('<link rel="stylesheet" href="//a.b/c.css">', True),
        ("<style>@import 'x.css'; p {background: url(https://a.b/c.png)}</style>", True),
        ('<script>import("https://a.b/mermaid.mjs")</script>', True),
        ('<a href="https://a.b/">a link</a> <img src="plot.png"> <link rel="canonical" href="https://a.b/">', False),
    ],
)
def test_what_is_loaded_from_another_host(html, loads):
    assert bool(LOADS.search(html)) is loads


def test_no_page_loads_anything_from_another_host(site):
    pages = {path.relative_to(site): path.read_text("utf-8") for path in site.rglob("*.html")}
    assert {Path("index.html"), Path("tutorials/first-look.html")} <= set(pages)
    assert {str(path): found[0] for path, text in pages.items() if (found := LOADS.search(text))} == {}
