"""Three quarters to fit on, a quarter to judge on."""

from __future__ import annotations

import pytest

from lesa_framework import ConfigError
from lesa_framework.search.prompts import divided
from lesa_framework.training.run import make_batches


def test_most_prompts_are_fitted_on_and_none_is_judged_too() -> None:
    prompts = [str(number) for number in range(64)]
    found = divided(prompts, 16, seed=3)
    assert [len(batch.prompts) for batch in found.fit] == [16, 16, 16]
    assert [[len(batch.prompts) for batch in rung] for rung in found.rungs] == [[4], [12]]
    assert found.judge == found.rungs[0] + found.rungs[1]
    assert found.judged == 16
    assert [*found.fitted, *(prompt for batch in found.judge for prompt in batch.prompts)] == prompts
    seeds = [seed for batch in (*found.fit, *found.judge) for seed in batch.seeds]
    assert len(set(seeds)) == 64


def test_what_is_fitted_on_has_the_seeds_of_a_training() -> None:
    prompts = [str(number) for number in range(20)]
    found = divided(prompts, 4, seed=1)
    assert found.fit == make_batches(found.fitted, 4, 1)


@pytest.mark.parametrize(("count", "fit", "judge"), [(4, 2, 2), (5, 3, 2), (12, 9, 3), (7, 5, 2)])
def test_few_prompts(count: int, fit: int, judge: int) -> None:
    found = divided([str(number) for number in range(count)], 16, seed=0)
    assert (len(found.fitted), found.judged) == (fit, judge)
    assert all(batch.prompts for rung in found.rungs for batch in rung)


def test_too_few_prompts() -> None:
    with pytest.raises(ConfigError, match="at least 4 prompts, 2 to fit on and 2 to judge on; found 3"):
        divided(["a", "b", "c"], 16, seed=0)
