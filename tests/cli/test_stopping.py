"""Ctrl-C and SIGTERM in a process of its own, at moments that are hard to hit from outside."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest

from lesa_framework.cli.app import COMMANDS

#: Runs `main` with an `app` of the test's own; `stop()` is Ctrl-C.
HEAD = """
import atexit, os, signal, sys, types
from lesa_framework.cli import main, stopping
def stop(number=signal.SIGINT):
    os.kill(os.getpid(), number)
def command(app):
    module = types.ModuleType("lesa_framework.cli.app")
    module.app = app
    sys.modules["lesa_framework.cli.app"] = module
"""
#: Where the signal comes -> (the program, its exit code, what it says).
MOMENTS = {
    "while a command works": ("command(lambda _: stop())", 130, "stopped.\n"),
    "by SIGTERM": ("command(lambda _: stop(signal.SIGTERM))", 143, "stopped.\n"),
    "while modules are imported": (
        """
class Importer:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            try:
                stop()
            except BaseException:
                print("swallowed", file=sys.stderr)
sys.meta_path.insert(0, Importer())
def app(_):
    import torch
command(app)
""",
        130,
        "stopped.\n",
    ),
    "while the command itself is imported": (
        """
class Importer:
    def find_spec(self, name, path=None, target=None):
        if name == "lesa_framework.cli.app":
            stop()
sys.meta_path.insert(0, Importer())
""",
        130,
        "stopped.\n",
    ),
    "where libraries catch a KeyboardInterrupt": (
        """
def app(_):
    try:
        stop()
    except KeyboardInterrupt:
        print("swallowed", file=sys.stderr)
command(app)
""",
        130,
        "stopped.\n",
    ),
    "in a destructor, where Python drops exceptions": (
        """
class Thing:
    def __del__(self):
        stop()
        for _ in range(10):
            pass
def app(_):
    Thing()
    print("went on", file=sys.stderr)
command(app)
""",
        130,
        "stopped.\n",
    ),
    "a second time, while the first is answered": (
        """
def app(_):
    try:
        stop()
    finally:
        stop()
        print("went on", file=sys.stderr)
command(app)
""",
        130,
        "stopped.\n",
    ),
    "with advice": (
        """
def app(_):
    with stopping.advice_when_stopped(lambda: "stopped. Go on tomorrow."):
        stop()
command(app)
""",
        130,
        "stopped. Go on tomorrow.\n",
    ),
    "with advice, while modules are imported": (
        """
class Importer:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            stop()
sys.meta_path.insert(0, Importer())
def app(_):
    with stopping.advice_when_stopped(lambda: "stopped. Go on tomorrow."):
        import torch
command(app)
""",
        130,
        "stopped. Go on tomorrow.\n",
    ),
    "when everything is done": ("command(lambda _: None); atexit.register(stop)", 0, ""),
}


def child(program: str, before: Callable[[], object] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{HEAD}{program}\nmain()"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, preexec_fn=before)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_stop_ends_with_one_line_and_its_own_exit_code(moment):
    program, code, said = MOMENTS[moment]
    ended = child(program)
    assert (ended.returncode, ended.stderr, ended.stdout) == (code, said, "")


def test_who_ignores_ctrl_c_for_a_command_in_the_background_is_obeyed():
    ended = child("command(lambda _: stop())", lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_nothing_heavy_is_imported_before_signals_are_handled():
    heavy = "{'torch', 'typer', 'rich', 'pydantic', 'yaml', 'typing', 'lesa_framework.public'}"
    ended = child(f"print(sorted({heavy} & set(sys.modules))); command(lambda _: None)")
    assert ended.stdout == "[]\n"


def test_help_needs_no_torch():
    program = "import sys\nfrom lesa_framework.cli import run\nprint(run(['--help']), 'torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "0 False"
    assert all(name in ended.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_commands_own_help_says(name):
    module, _, summary = COMMANDS[name]
    doc = inspect.getdoc(import_module(f"lesa_framework.cli.{module}").command) or ""
    assert summary == doc.split("\n\n")[0].replace("\n", " ")
