"""Two processes, started once for all tests of this folder."""

from __future__ import annotations

import json
import os

import pytest
from filelock import FileLock

from tests.devices.ranks import Outcome, run_in_two
from tests.devices.sampling import SCENARIOS


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Outcome]]:
    """What each of two processes found; where tests themselves run in several, the first that asks starts them."""
    shared = tmp_path_factory.getbasetemp().parent if _is_worker() else tmp_path_factory.getbasetemp()
    found = shared / "outcomes.json"
    with FileLock(shared / "outcomes.lock"):
        if not found.exists():
            folder = shared / "two_processes"
            folder.mkdir()
            found.write_text(json.dumps(run_in_two(SCENARIOS, folder)), "utf-8")
    outcomes: list[dict[str, Outcome]] = json.loads(found.read_text("utf-8"))
    return outcomes


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ
