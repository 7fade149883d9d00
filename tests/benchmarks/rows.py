"""Rows for tests of the pages."""

from __future__ import annotations

from typing import Any

from lesa_framework.measure.results import Kind, Row


def row(name: str, psnr_db: float, **other: Any) -> Row:
    """A TaylorSeer at 10 of 50 steps, unless told otherwise."""
    known = {"model": "m", "kind": Kind.CACHE, "family": "taylorseer", "nfe": 10, "num_steps": 50, "work": 10}
    return Row(name=name, psnr_db=psnr_db, **{**known, **other})
