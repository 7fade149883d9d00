"""Errors that the framework raises; every message says what was given, what is valid and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LesaError(Exception):
    """The base class of every error that the framework raises on purpose."""


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


def in_one_line(error: Exception) -> str:
    """The class and message of any error in one line, for a row of results; only "out of memory" for a full GPU."""
    name = type(error).__name__
    return "out of memory" if name == "OutOfMemoryError" else " ".join(f"{name}: {error}".split())
