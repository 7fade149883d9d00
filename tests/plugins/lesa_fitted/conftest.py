"""Tasks on the guided toy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lesa_framework.training import Task
from tests.toys import GuidedToyAdapter, new_task, register_toy


@pytest.fixture
def make_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """Makes a task on the toy: `make_task(settings, prompts=6, batch=3, tap=..., curved=...)`."""
    register_toy(monkeypatch, "guided_toy", GuidedToyAdapter)
    return new_task
