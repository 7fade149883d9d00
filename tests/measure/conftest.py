from __future__ import annotations

from pathlib import Path

import pytest

from tests.measure.benches import Bench


@pytest.fixture
def bench(tmp_path: Path, flux_folder: Path) -> Bench:
    """A benchmark of the tiny FLUX."""
    return Bench(tmp_path, flux_folder)
