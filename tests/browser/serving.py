"""`lesa ui` in a process of its own, which may connect to this machine alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer

#: A connection to another machine is an error and is printed; the signals are those that a terminal gives.
_LAUNCH = """
import signal, socket, sys
connect = socket.socket.connect
def local_only(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        print("connects to", address, file=sys.stderr, flush=True)
        raise ConnectionRefusedError(str(address))
    return connect(self, address)
socket.socket.connect = local_only
signal.signal(signal.SIGINT, signal.default_int_handler)
from lesa_framework.cli import main
main()
"""
_LONGEST = 120
_STOPPED = "stopping ...\nstopped. The page is closed.\n"


@dataclass(frozen=True)
class Server:
    """A page that is served; `said` is what the process printed until then."""

    address: str
    said: str


@contextmanager
def serving(*arguments: str, silent: bool = True) -> Iterator[Server]:
    """Serve a page in the block; afterwards the process ends by Ctrl-C, in order and, if `silent`, silently."""
    command = [sys.executable, "-W", "error::UserWarning:gradio", "-c", _LAUNCH, "ui", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    watchdog = Timer(_LONGEST, process.kill)
    watchdog.start()
    try:
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("the page is at "):
                break
        else:
            raise AssertionError(said)
        watchdog.cancel()  # all that follows has limits of its own, and a busy machine takes longer for all the tests
        yield Server(line.split()[4], said)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        last = process.stderr.read()
        assert last == _STOPPED if silent else last.endswith(_STOPPED)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stderr.close()
