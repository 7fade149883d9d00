"""Two processes, started once for all tests of this folder."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from tests.devices import fitting, measuring, sampling
from tests.devices.ranks import Outcome, run_in_two


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory, flux_folder: Path) -> list[dict[str, Outcome]]:
    """What each of two processes found; where tests themselves run in several, the first that asks starts them."""
    folder = _shared(tmp_path_factory)
    found = folder / "outcomes.json"
    with FileLock(folder / "lock"):
        if not found.exists():
            fitting.write_configs(folder)
            measuring.write_configs(flux_folder, folder)
            commands = {
                "command": partial(fitting.command, flux_folder, folder),
                "measuring": partial(measuring.command, flux_folder, folder),
            }
            scenarios = {**sampling.SCENARIOS, **fitting.SCENARIOS, **commands}
            found.write_text(json.dumps(run_in_two(scenarios, folder)), "utf-8")
    outcomes: list[dict[str, Outcome]] = json.loads(found.read_text("utf-8"))
    return outcomes


@pytest.fixture(scope="session")
def folder(outcomes: list[dict[str, Outcome]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes wrote."""
    return _shared(tmp_path_factory)


def _shared(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "two_processes"
    folder.mkdir(exist_ok=True)
    return folder
