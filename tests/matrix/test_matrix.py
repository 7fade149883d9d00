"""Every adapter on a tiny random model of its class: the whole contract, at every tap it declares."""

from __future__ import annotations

import pytest

from lesa_framework.testing import check_backbone
from tests.matrix.case import Case
from tests.matrix.cases import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_the_adapter_keeps_its_contract(case: Case):
    check_backbone(case.adapter, make_model=case.make_model, call=case.call, make_latent=case.make_latent)
