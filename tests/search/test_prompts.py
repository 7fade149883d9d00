"""Three quarters to fit on, a quarter to judge on."""

from __future__ import annotations

import pytest

from lesa_framework import ConfigError
from lesa_framework.search.prompts import divided
from lesa_framework.training.task import make_batches


def test_what_is_fitted_on_what_is_tried_on_and_what_only_the_best_see() -> None:
    prompts = [str(number) for number in range(96)]
    found = divided(prompts, 16, seed=3, fits=True)
    assert [len(batch.prompts) for batch in found.fit] == [16, 16, 16, 16, 8]
    assert found.quick == found.fit[0]
    assert [[len(batch.prompts) for batch in rung] for rung in found.rungs] == [[7], [14], [16, 16, 3]]
    assert (len(found.fitted), found.tried, found.judged) == (72, 56, 24)
    tried = [prompt for rung in found.rungs for batch in rung for prompt in batch.prompts]
    assert [*found.quick.prompts, *tried] == list(found.fitted)
    assert [*found.fitted, *(prompt for batch in found.judge for prompt in batch.prompts)] == prompts
    seeds = [seed for batch in (*found.fit, *found.judge) for seed in batch.seeds]
    assert len(set(seeds)) == 96


def test_where_nothing_is_fitted_candidates_are_tried_on_more() -> None:
    found = divided([str(number) for number in range(96)], 16, seed=3, fits=False)
    assert (found.tried, found.judged) == (72, 24)


def test_what_is_fitted_on_has_the_seeds_of_a_training() -> None:
    prompts = [str(number) for number in range(20)]
    found = divided(prompts, 4, seed=1, fits=True)
    assert found.fit == make_batches(found.fitted, 4, 1)


@pytest.mark.parametrize("fits", [True, False])
@pytest.mark.parametrize(("count", "fit", "judge"), [(4, 2, 2), (5, 3, 2), (12, 9, 3), (7, 5, 2)])
def test_few_prompts(count: int, fit: int, judge: int, fits: bool) -> None:
    found = divided([str(number) for number in range(count)], 16, seed=0, fits=fits)
    assert (len(found.fitted), found.judged) == (fit, judge)
    assert found.quick.prompts
    assert found.rungs
    assert all(batch.prompts for rung in found.rungs for batch in rung)
    assert found.tried == (fit - fit // 2 if fits else fit)


def test_too_few_prompts() -> None:
    with pytest.raises(ConfigError, match="at least 4 different prompts, 2 to fit on and 2 to judge on; found 3"):
        divided(["a", "b", "c"], 16, seed=0, fits=True)


def test_a_prompt_that_is_repeated_counts_once_and_is_on_one_side_alone() -> None:
    with pytest.raises(ConfigError, match=r"at least 4 different prompts, .*; found 1"):
        divided(["a"] * 8, 16, seed=0, fits=True)
    assert divided(list("abcdbaeaff"), 2, seed=0, fits=True) == divided(list("abcdef"), 2, seed=0, fits=True)
