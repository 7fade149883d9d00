from __future__ import annotations

from typing import Any

import pytest

from benchmarks.front_rows import (
    FEWER,
    FITTED,
    OURS_EVEN,
    PAPERS,
    SYSTEMS,
    TAYLOR_EVEN,
    TOLD,
    UNIPC,
    UNTOLD,
    FrontRows,
    verdict,
)
from lesa_framework.measure.details import Details
from lesa_framework.measure.results import Difference, Kind, ModelResults, Pair, Results, Row
from tests.benchmarks.rows import row
from tests.measure.page.samples import METRICS

FLUX = SYSTEMS[0]
PAIRS = [Pair(prompt=prompt, seed=0) for prompt in "abc"]


def results(*rows: Row) -> Results:
    """Results of FLUX; a method's three pairs lie around its mean."""
    details = {
        each.name: Details(scores={"psnr_db": [(each.psnr_db or 0) + more for more in (-0.1, 0.0, 0.1)]})
        for each in rows
    }
    found = ModelResults(model=FLUX.model, num_steps=50, batch=1, pairs=PAIRS, details=details)
    return Results(rows=list(rows), models=[found], metrics=METRICS)


def flux(name: str, psnr_db: float, **other: Any) -> Row:
    return row(name, psnr_db, model=FLUX.model, **other)


def published() -> Results:
    peer = {"kind": Kind.PEER}
    return results(
        flux("ref-flux-fitted-nfe10", 41.0, family="fitted"),
        flux("ref-flux-lesa-even10", 40.0, family="lesa"),
        flux("taylorseer1-even10", 38.0, schedule="even10"),
        flux("taylorseer3-even10", 39.5, schedule="even10"),
        flux("taylorseer3-n7", 39.9, schedule="n7"),
        flux("reuse-even10", 30.0, family="reuse", schedule="even10"),
        flux("told_10", 33.0, family="told", schedule="even10", **peer),
        flux("better_told_n7", 34.0, family="told", schedule="n7", **peer),
        flux("gate_10", 35.0, family="gate", **peer),
        flux("greedy_10", 39.0, family="greedy", work=30.0, **peer),
        flux("unipc1_10", 36.0, kind=Kind.FEWER_STEPS, family="unipc1", num_steps=10),
        flux("unipc2_10", 35.0, kind=Kind.FEWER_STEPS, family="unipc2", num_steps=10),
        flux("fewer_steps_10", 29.0, kind=Kind.FEWER_STEPS, family="fewer_steps", num_steps=10),
    )


def names(selection: Results) -> dict[str, str | None]:
    lines = FrontRows(selection, published()).lines()
    return {line.label: line.rows[0] and line.rows[0].name for line in lines}


def test_orders_are_chosen_on_the_pairs_for_choosing_and_shown_from_the_others() -> None:
    selection = results(
        flux("taylorseer1-even10", 31.0, schedule="even10"),
        flux("taylorseer3-even10", 30.0, schedule="even10"),
        flux("unipc1_10", 28.0, kind=Kind.FEWER_STEPS, family="unipc1", num_steps=10),
        flux("unipc2_10", 29.0, kind=Kind.FEWER_STEPS, family="unipc2", num_steps=10),
    )
    found = names(selection)
    assert found[UNIPC] == "unipc2_10"
    assert found[TAYLOR_EVEN] == "taylorseer1-even10", "although order 3 is better where numbers are published"
    assert found[OURS_EVEN] == "ref-flux-lesa-even10"
    assert found[FITTED] == "ref-flux-fitted-nfe10"
    assert found[FEWER] == "fewer_steps_10"
    assert found[PAPERS] is None


def test_the_best_peer_of_each_sort_that_did_no_more_work() -> None:
    found = names(results())
    assert found[TOLD] == "better_told_n7"
    assert found[UNTOLD] == "gate_10"


def test_ten_lines_at_most() -> None:
    assert len(names(results())) <= 9, "and one for the speed"


def test_a_claim_has_the_difference_on_each_system_that_has_both() -> None:
    selection = results(flux("taylorseer1-even10", 31.0, schedule="even10"))
    first = FrontRows(selection, published()).claims()[0]
    found = first.differences[0]
    assert found is not None
    assert found.mean_db == pytest.approx(3.0)
    assert first.differences[1:] == (None, None)
    assert verdict(found) == "ahead"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 2.0, "ahead"), (-0.1, 2.0, "level"), (-2.0, -0.1, "behind"), (None, None, "unknown")],
)
def test_verdicts(low: float | None, high: float | None, said: str) -> None:
    found = Difference(model="m", nfe=10, ours="a", theirs="b", mean_db=1.0, low_db=low, high_db=high, better_share=0.5)
    assert verdict(found) == said
