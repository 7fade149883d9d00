"""The bundled, trained models, loaded as a user loads them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Any]:
    """`reference("flux")` is the pipeline `reference:flux`; each is loaded once."""
    from lesa_framework.pipelines import load_pipeline

    return cache(lambda backbone: load_pipeline(f"reference:{backbone}", device="cpu"))


@pytest.fixture(scope="session")
def reference_flux(reference: Callable[[str], Any]) -> Any:
    return reference("flux")
