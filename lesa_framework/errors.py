"""Errors that the framework raises; every message says what was given, what is valid and what to do."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Final

#: The longest message of an error, in characters.
_LONGEST: Final = 10_000


class LesaError(Exception):
    """The base class of every error that the framework raises on purpose.

    Args:
        message: What happened; the middle of a very long one is left out, and what cannot be printed is escaped.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(message, _LONGEST).encode("utf-8", "backslashreplace").decode("utf-8"))


class ConfigError(LesaError):
    """A configuration, command line or argument is not valid."""


class LesaWarning(UserWarning):
    """Something that may not be as it should, but may be; the message says how to find out, and how to silence it."""


class UnknownPluginError(ConfigError):
    """A name, such as a `kind`, is not registered by any plugin."""


class PluginContractError(LesaError):
    """A plugin breaks its contract, for example by returning the wrong shape."""


class ArtifactError(LesaError):
    """A weights file is missing or damaged, or was made for something else."""


class UnsupportedBackboneError(LesaError):
    """No backbone adapter fits the model, or the adapter does not support what it was asked to do."""


class PeerError(LesaError):
    """A peer cannot be attached, or the work of a run cannot be counted."""


class MetricUnavailableError(LesaError):
    """A metric cannot be loaded, because a library or weights are missing; the message says how to get them."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the closest name, beginning with a space; empty when no name is close.

    Args:
        word: The name that was given.
        known: The valid names.
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def shortened(text: str, limit: int = 200) -> str:
    """Text for a message; the middle of one that is longer than `limit` characters is left out."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]} ... ({len(text):,} characters) ... {text[-limit // 4 :]}"


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 4, 80, 80

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to print numbers of more than 4,300 digits.
        return f"a number of {x.bit_length():,} bits" if x.bit_length() > 128 else super().repr_int(x, level)


_BRIEF: Final = _Brief()


def shown(value: object) -> str:
    """A value for a message: its `repr`, in few words however large it is."""
    return _BRIEF.repr(value)


#: What the allocators of the CPU, of MPS and of pinned memory say.
_FULL = ("DefaultCPUAllocator", "MPS backend out of memory", "CUDA error: out of memory")


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch found no memory, on a device or on the CPU; told without importing torch.

    Args:
        error: What was raised.
    """
    # Not all of its allocators have an error of their own.
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)
    )


def in_one_line(error: Exception) -> str:
    """The class and message of any error in one line, for a row of results; only "out of memory" for a full device."""
    if is_out_of_memory(error):
        return "out of memory"
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
