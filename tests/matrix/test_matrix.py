"""Every adapter on a tiny random model of its class: the whole contract, at every tap it declares."""

from __future__ import annotations

import pytest

from tests.matrix.case import Case
from tests.matrix.cases import CASES
from tests.matrix.page import PAGE, notes, refusals, results, row

pytestmark = [
    # Chroma in diffusers makes itself a class that diffusers has deprecated.
    pytest.mark.filterwarnings("ignore:.FluxPosEmbed. is deprecated:FutureWarning"),
    # Mochi in diffusers asks for float32 where the CPU has no autocast.
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),
    # Krea 2 in diffusers norms in float32, whatever dtype its weights have.
    pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_the_adapter_keeps_its_contract_and_the_page_says_what_was_found(case: Case):
    assert [result for result in results(case) if not result.passed] == []
    shown = PAGE.read_text(encoding="utf-8").splitlines()
    found = [row(case), *notes(case, "not applicable"), *refusals(case)]
    assert [line for line in found if line not in shown] == [], "docs/reference/matrix.md is stale: run `make matrix`"
