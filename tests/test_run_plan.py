from __future__ import annotations

from lesa_framework.run_plan import RunPlan
from lesa_framework.testing import even_grid
from lesa_framework.types import Choice, HistoryPlace


def planned(nfe: int, **lines: str) -> RunPlan:
    """A run of six steps for which a cache of two computed steps was chosen."""
    named = {name.replace("_second", " (transformer_2)"): line for name, line in lines.items()}
    return RunPlan(even_grid(6), nfe, named, {}, 0, HistoryPlace(), Choice("line", "line", "no weights", "all", 2, 6))


def test_a_plan_says_why_a_second_transformer_computes_more_than_the_choice():
    text = str(planned(3, cond="FPP", cond_second="FPF")).splitlines()
    assert text[0].startswith("6 steps, 3 computed (2.00x)")
    assert text[-2:] == [
        "  chosen: line (no weights), 2 of 6 steps computed: all",
        "  computed besides the schedule: 1 of 6 steps, where a branch begins late, or missed a computed step",
    ]
    assert "besides" not in str(planned(2, cond="FPP", cond_second="FPP"))
    assert "besides" not in str(planned(2, cond="FPPFPP"))


def test_the_lines_of_transformers_that_take_turns_are_aligned_step_by_step():
    assert str(planned(2, cond="FPP", uncond="FPP", cond_second="FP?", uncond_second="FP?")).splitlines()[1:5] == [
        "  cond:                   FPP...",
        "  uncond:                 FPP...",
        "  cond (transformer_2):   ...FP?",
        "  uncond (transformer_2): ...FP?",
    ]
    assert planned(2, cond="FPPFPP", slg="FP").lines == {"cond": "FPPFPP", "slg": "FP"}, "its steps are not known"
