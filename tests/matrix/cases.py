"""Every case."""

from __future__ import annotations

from tests.matrix import cases_cross, cases_joint, cases_paper, cases_sequence, cases_wan

CASES = (*cases_paper.CASES, *cases_joint.CASES, *cases_cross.CASES, *cases_sequence.CASES, *cases_wan.CASES)
