"""Lines on standard error, and bytes in words."""

from __future__ import annotations

import math
from typing import Final

from lesa_framework.cli import console

#: On which prompts the decibels are that a fit ends with.
OF_THE_FIT: Final = "on its held-out prompts if it has some, else on those that it is fitted on"
_GIB = 2**30


def announce(line: str) -> None:
    """Say it at once, on standard error."""
    console.notices().print(line, soft_wrap=True)


def size(count: int) -> str:
    """Bytes as people say them."""
    if count >= 1000 * 2**20:
        return f"{count / _GIB:.3g} GiB"
    return f"{count / 2**20:.3g} MiB" if count >= 2**20 / 10 else f"{math.ceil(count / 2**10)} KiB"
