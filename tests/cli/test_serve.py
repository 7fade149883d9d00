"""The process that `lesa` runs in."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = r"""
from lesa_framework.cli import console, serve
serve(lambda _: console.results().print("a \u732b"))
"""


def test_what_standard_output_cannot_encode_is_an_escape() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (0, [b"a", rb"\u732b"], b"")
