"""Scripts that run in a process of their own, beside an installed server, and print what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_script(script: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it, without the framework's variables of the environment except those that are given."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("LESA_")}
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env={**others, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What it printed after `RESULT`."""
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return found
