"""Other people's caches, where they are installed."""

from __future__ import annotations

from benchmarks.full_size.cases import Case
from benchmarks.full_size.methods import Method


def peers_of(case: Case) -> tuple[list[Method], list[str]]:
    """Methods, and what is to be said about those that are missing."""
    return [], []
