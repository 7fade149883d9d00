"""The bundled, trained model."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def reference_flux() -> Any:
    """`reference:flux`, loaded as a user loads it."""
    from lesa_framework.pipelines import load_pipeline

    return load_pipeline("reference:flux", device="cpu")
