"""The version wherever it is written, CITATION.cff, and the pages beside the README, which nothing else reads."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RELEASE = "docs/how-to/release.md"
FOLDERS = ("docs", "examples", "integrations", "plugins")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_what_is_cited_is_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (cited["version"], cited["license"]) == (PROJECT["project"]["version"], PROJECT["project"]["license"])
    (paper,) = cited["references"]
    assert paper["url"].endswith("2602.20497")


@pytest.mark.parametrize(
    ("name", "line"),
    [("lesa_framework/__init__.py", '__version__ = "{}"'), ("integrations/comfyui/pyproject.toml", 'version = "{}"')],
)
def test_other_files_name_this_version(name: str, line: str) -> None:
    assert line.format(PROJECT["project"]["version"]) in (ROOT / name).read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md", "SECURITY.md"])
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text("utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_steps_of_a_release_name_every_page_that_says_there_is_none_yet() -> None:
    step = re.search(r"\*\*The first release alone\.\*\*(.*?)\n\d\. ", (ROOT / RELEASE).read_text("utf-8"), re.DOTALL)
    says = re.compile(r"first\s+release|is\s+(a|no)\s+release|once\s+it\s+is\s+released")
    files = [ROOT / "README.md", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    pages = [path for path in files if path.suffix in (".md", ".ipynb")]
    found = {path.relative_to(ROOT).as_posix() for path in pages if says.search(path.read_text("utf-8"))}
    assert set(re.findall(r"`([\w./-]+)`", step[1])) == found - {RELEASE}


def test_the_sdist_has_all_that_git_has() -> None:
    """hatchling adds README.md, LICENSE, pyproject.toml and .gitignore by itself."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a clone can say what belongs to it: git ls-files")
    command = [shutil.which("git") or "git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    tops = {name.partition("/")[0] for name in listed.split("\0") if name and not name.startswith(".")}
    included = {name.removeprefix("/") for name in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]}
    assert included ^ tops == {"LICENSE", "README.md", "pyproject.toml"}
