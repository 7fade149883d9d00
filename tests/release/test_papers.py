"""CITATION.cff and the pages beside the README, which nothing else reads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_what_is_cited_is_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (cited["version"], cited["license"]) == (PROJECT["project"]["version"], PROJECT["project"]["license"])
    (paper,) = cited["references"]
    assert paper["url"].endswith("2602.20497")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md", "SECURITY.md"])
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text("utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_sdist_has_the_files_of_the_first_folder() -> None:
    """hatchling adds README.md, LICENSE and pyproject.toml by itself."""
    included = {name.removeprefix("/") for name in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]}
    assert [name for name in included if not (ROOT / name).exists()] == []
    papers = {path.name for kind in ("*.md", "*.cff", "*.txt") for path in ROOT.glob(kind)}
    assert papers - included == {"README.md"}
