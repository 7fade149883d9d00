from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesa_framework.measure.details import Details
from lesa_framework.measure.intervals import differences, interval
from lesa_framework.measure.results import Kind, ModelResults, Pair, Row

#: 97.5 % point of Student's t with 3 degrees of freedom, from a printed table.
T_3 = 3.1824


def pairs(prompts: int, seeds: int) -> list[Pair]:
    return [Pair(prompt=f"p{prompt}", seed=seed) for seed in range(seeds) for prompt in range(prompts)]


def row(name: str, nfe: int, psnr_db: float | None, **other) -> Row:
    known = {"model": "m", "kind": Kind.CACHE, "family": "f", "num_steps": 50, **other}
    return Row(name=name, nfe=nfe, psnr_db=psnr_db, **known)


def test_an_interval_by_hand():
    gains = [1.0, 2.0, 4.0, 7.0]
    low, high = interval(list(zip(pairs(4, 1), gains, strict=True)))
    half = T_3 * stdev(gains) / math.sqrt(4)
    assert (low, high) == (pytest.approx(fmean(gains) - half, abs=1e-3), pytest.approx(fmean(gains) + half, abs=1e-3))


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=6, unique=True), st.integers(2, 4), st.floats(-5, 5))
def test_seeds_that_add_nothing_make_it_no_narrower_and_a_shift_moves_it(gains, seeds, shift):
    once = interval(list(zip(pairs(len(gains), 1), gains, strict=True)))
    often = interval(list(zip(pairs(len(gains), seeds), gains * seeds, strict=True)))
    assert often == pytest.approx(once, abs=1e-6)
    moved = interval(list(zip(pairs(len(gains), 1), [gain + shift for gain in gains], strict=True)))
    assert moved == pytest.approx([end + shift for end in once], abs=1e-6)


def test_one_prompt_has_no_interval_and_equal_gains_an_empty_one():
    assert interval(list(zip(pairs(1, 3), [1.0, 2.0, 3.0], strict=True))) == (None, None)
    assert interval(list(zip(pairs(3, 1), [1.0, 1.0, 1.0], strict=True))) == (1.0, 1.0)


def test_the_best_of_each_nfe_against_the_others():
    rows = [
        row("uncached", 50, None, kind=Kind.UNCACHED),
        row("good", 10, 30.0),
        row("poor", 10, 20.0),
        row("greedy", 10, 40.0, work=34.0, kind=Kind.PEER),
        row("broken", 10, None, error="it fell over"),
        row("alone", 8, 25.0),
    ]
    details = {
        "good": Details(scores={"psnr_db": [31.0, 29.0]}),
        "poor": Details(scores={"psnr_db": [19.0, 31.0]}),
        "greedy": Details(scores={"psnr_db": [40.0, 40.0]}),
        "alone": Details(scores={"psnr_db": [25.0, 25.0]}),
    }
    found = ModelResults(model="m", num_steps=50, batch=1, pairs=pairs(2, 1), details=details)
    (only,) = differences(rows, found)
    assert (only.ours, only.theirs, only.nfe) == ("good", "poor", 10)
    assert only.mean_db == pytest.approx(5.0)
    assert only.better_share == 0.5
    assert not only.certain


def test_pairs_without_a_number_do_not_count():
    rows = [row("a", 10, 30.0), row("b", 10, 20.0)]
    details = {"a": Details(scores={"psnr_db": [30.0, None]}), "b": Details(scores={"psnr_db": [20.0, 5.0]})}
    found = ModelResults(model="m", num_steps=50, batch=1, pairs=pairs(2, 1), details=details)
    (only,) = differences(rows, found)
    assert (only.mean_db, only.low_db) == (10.0, None)
    details["a"] = Details(scores={"psnr_db": [None, None]})
    assert differences(rows, found.model_copy(update={"details": details})) == []
