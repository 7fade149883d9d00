"""Fixtures for every test."""

from importlib.metadata import EntryPoint, entry_points

import pytest
from hypothesis import settings

from lesa_framework.plugin import manager

pytest_plugins = (
    "tests.fixtures_compile",
    "tests.fixtures_flux",
    "tests.fixtures_hub",
    "tests.fixtures_plugins",
    "tests.fixtures_reference",
)

# The same examples on every machine, and no clock: the machines that run this share their cores.
settings.register_profile("lesa", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("lesa")

_OURS = frozenset({"lesa-framework", "lesa-framework-reference"})


def our_entry_points(group: str) -> list[EntryPoint]:
    """The entry points of this repository's own distributions: whoever tests may have installed other plugins."""
    return [each for each in entry_points(group=group) if each.dist is not None and each.dist.name in _OURS]


# Not by a fixture, and never undone: modules of tests look at plugins while they are collected.
pytest.MonkeyPatch().setattr(manager, "entry_points", our_entry_points)
