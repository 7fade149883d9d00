"""Errors that the framework raises; every message says what was given, what is valid and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LesaError(Exception):
    """Base of every error that the framework raises on purpose."""


class ConfigError(LesaError):
    """A configuration, command line or argument is not valid."""


class UnknownPluginError(ConfigError):
    """A `kind` names no registered plugin."""


class PluginContractError(LesaError):
    """A plugin does not keep its contract, for example by returning the wrong shape."""


class ArtifactError(LesaError):
    """A weights file is missing, damaged or made for something else."""


class UnsupportedBackboneError(LesaError):
    """No backbone adapter fits the model, or the adapter refuses what it was asked to do."""


class PeerError(LesaError):
    """A peer cannot be attached, or the work of a run cannot be counted."""


class MetricUnavailableError(LesaError):
    """A metric cannot be loaded: a library or weights are not on the machine; the message says how to get them."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest name, with a space before it; empty when none is near.

    Args:
        word: What was given.
        known: What is valid.
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def in_one_line(error: Exception) -> str:
    """The class and message of an error of any code, for a row of results; without the details of a full GPU."""
    name = type(error).__name__
    return "out of memory" if name == "OutOfMemoryError" else " ".join(f"{name}: {error}".split())
