from __future__ import annotations

from dataclasses import replace

import pytest

from lesa_framework.ui.strip import strips
from tests.ui.samples import sample_run


def test_a_strip_runs_from_noise_to_the_picture() -> None:
    (strip,) = strips(sample_run({"cond": "FPFP"}))
    assert [cell.is_computed for cell in strip.cells] == [True, False, True, False]
    assert [cell.left for cell in strip.cells] == pytest.approx([0, 10, 40, 80])
    assert [cell.width for cell in strip.cells] == pytest.approx([10, 30, 40, 20])
    assert strip.cells[1].text == "step 2, noise level 0.900: predicted"
    assert strip.cells[2].text == "step 3, noise level 0.600: computed (schedule)"
    assert strip.summary == "cond: 2 of 4 steps computed, the others predicted"


def test_branches_share_a_strip_only_where_their_plans_are_the_same() -> None:
    (both,) = strips(sample_run({"cond": "FPFP", "uncond": "FPFP"}))
    assert both.branch == "all branches"
    assert [strip.branch for strip in strips(sample_run({"cond": "FPFP", "uncond": "FPPP"}))] == ["cond", "uncond"]


def test_two_transformers_with_the_same_letters_at_other_steps_have_a_strip_each() -> None:
    run = sample_run({"cond": "FP", "cond (transformer_2)": "FP"})
    later = (replace(each, index=each.index + 2) for each in run.records[2:])
    found = strips(replace(run, records=(*run.records[:2], *later)))
    assert [(strip.branch, strip.cells[0].left) for strip in found] == [
        ("cond", 0),
        ("cond (transformer_2)", pytest.approx(40)),
    ]
