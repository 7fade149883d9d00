"""What starting costs, in processes of their own, against a Python that does nothing."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import partial

from benchmarks.micro.turns import Line, Part, in_turns

_RUN = "import sys; from lesa_framework.cli import main; sys.argv = ['lesa', *{arguments!r}]; main()"
_COMMANDS = ("--version", "--help", "plan --help", "plugins")
_PROGRAMS = {
    "python": "pass",
    "import lesa_framework": "import lesa_framework",
    **{f"lesa {each}": _RUN.format(arguments=each.split()) for each in _COMMANDS},
    "import torch": "import torch",
    "lesa_framework.accelerate": "import lesa_framework; lesa_framework.accelerate",
}


def startup(rounds: int) -> list[Part]:
    """Start processes in turns; what counts is the processor's time of each, so that others' work does not.

    Args:
        rounds: How many turns.
    """
    processor_seconds(_PROGRAMS["lesa plugins"])  # reads all files once
    programs = {name: partial(processor_seconds, program) for name, program in _PROGRAMS.items()}
    found = in_turns(programs, rounds, warm_up=False)
    lines = tuple(Line(name, seconds) for name, seconds in found.items())
    return [Part("start", "The processor's time of a process against that of a Python that does nothing.", lines)]


def processor_seconds(program: str) -> float:
    """Run a program in a Python of its own; the time that the processor worked for it.

    Raises:
        RuntimeError: It failed.
    """
    before = _of_children()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    after = _of_children()
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stderr.strip()}")
    return after - before


def _of_children() -> float:
    """The processor's seconds of all processes that ended; `os.times` would count in hundredths."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
