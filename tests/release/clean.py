"""An environment that has what the first wheel requires, and nothing else: no extras, no editable installs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "plugins" / "lesa_reference"
#: Python and pip must see nothing of the environment that the tests run in.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "OMP_NUM_THREADS": "1",
}


def project(folder: Path) -> dict:
    """The table `project` of a pyproject.toml."""
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]


def required(requirements: list[str]) -> set[str]:
    """Names of installed packages that satisfy requirements, and of all that these require."""
    found: set[str] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        one = waiting.pop()
        if one.name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found.add(one.name)
            waiting += [Requirement(each) for each in distribution(one.name).requires or ()]
    return found


def pip(*arguments: object) -> None:
    """Run pip, without an index."""
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr


class Clean:
    """A virtual environment whose requirements are links to the installed packages."""

    def __init__(self, folder: Path, requirements: list[str]) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
        for name in required(requirements):
            package = distribution(name)
            tops = {path.parts[0] for path in package.files or ()} - {"..", "__pycache__"}
            for top in tops:
                if not (site / top).exists():
                    (site / top).symlink_to(Path(str(package.locate_file(top))))

    def install(self, wheel: Path) -> None:
        """Install a wheel, and nothing that it requires."""
        pip("--python", self.python, "install", wheel)

    def run(self, *arguments: object, folder: Path) -> str:
        """Run Python; returns what it printed."""
        command = [self.python, "-I", "-W", "error", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
