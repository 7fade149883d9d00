"""What goes wrong with peers."""

from __future__ import annotations

from lesa_framework.errors import LesaError


class PeerError(LesaError):
    """A peer cannot be attached, or its work cannot be counted."""


def as_text(error: Exception) -> str:
    """An error of somebody else's code in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
