"""Warnings that point at the line of the user's own code."""

from __future__ import annotations

import sys
import warnings
from typing import Final

from lesa_framework.errors import LesaWarning

#: Packages that call us, or that we call, between the user's line and the warning.
_BETWEEN: Final = frozenset({"accelerate", "contextlib", "diffusers", "functools", "lesa_framework", "pluggy", "torch"})
#: The built-in plugins' packages begin so.
_PLUGIN: Final = "lesa_"


def warn(message: str) -> None:
    """Warn, and name the line nearest to the warning that is neither ours nor of a library in between.

    The line of our caller is named where there is none.

    Args:
        message: What to say.
    """
    # Python 3.12 has `skip_file_prefixes` for this, 3.11 has not.
    caller = frame = sys._getframe(1)
    while _is_between(str(frame.f_globals.get("__name__", ""))):
        if frame.f_back is None:
            frame = caller
            break
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        LesaWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=frame.f_globals.get("__name__"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _is_between(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _BETWEEN or package.startswith(_PLUGIN)
