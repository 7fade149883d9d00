from __future__ import annotations

import pytest

from lesa_framework.branch_names import in_transformer, split_name


@pytest.mark.parametrize(
    ("name", "transformer", "branch"), [("cond", "", "cond"), ("cond#2", "transformer_2", "cond#2 (transformer_2)")]
)
def test_a_name_and_its_transformer(name, transformer, branch):
    assert in_transformer(name, transformer) == branch
    assert split_name(branch) == (name, transformer)
