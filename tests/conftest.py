"""Fixtures for every test."""

from hypothesis import settings

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
