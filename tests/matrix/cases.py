"""Every case."""

from __future__ import annotations

from tests.matrix import cases_paper

CASES = (*cases_paper.CASES,)
