from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from lesa_framework.measure.details import MetricInfo
from lesa_framework.measure.results import Kind, ModelResults, Results, Row, ranked

DOCUMENTED = {
    "name", "nfe", "num_steps", "psnr_db", "ssim", "rel_l2", "caption_score", "seconds", "speedup", "cache_bytes",
}  # fmt: skip
PSNR = MetricInfo(heading="PSNR, dB", summary="How close.", higher_is_better=True, digits=2)


def row(name: str, nfe: int = 10, kind: Kind = Kind.CACHE, **more: object) -> Row:
    return Row.model_validate(
        {"model": "m", "name": name, "kind": kind, "family": "f", "nfe": nfe, "num_steps": 50, **more}
    )


def test_a_row_is_flat_in_json_and_always_has_the_documented_keys() -> None:
    content = json.loads(row("a", psnr_db=30.0, flicker=0.5).model_dump_json())
    assert content.keys() > DOCUMENTED
    assert (content["psnr_db"], content["ssim"], content["flicker"]) == (30.0, None, 0.5)


def test_scores_are_a_mapping_in_python() -> None:
    found = row("a", psnr_db=30.0, flicker=0.5)
    assert found.scores == {
        "psnr_db": 30.0, "ssim": None, "rel_l2": None, "caption_score": None, "flicker": 0.5,
    }  # fmt: skip
    assert found.psnr_db == 30.0
    assert found.model_copy(update={"psnr_db": 31.0}).psnr_db == 31.0


def test_results_survive_a_file() -> None:
    results = Results(
        rows=[row("a", psnr_db=1.0)], models=[ModelResults(model="m", num_steps=50, batch=1)], metrics={"psnr_db": PSNR}
    )
    assert Results.model_validate_json(results.model_dump_json()) == results


@pytest.mark.parametrize(
    ("own", "uncached", "expected"),
    [(0.02, 0.5, 0.5), (0.5, 0.02, 0.5), (0.02, 0.03, 0.03), (None, 0.5, 0.5), (0.02, None, 0.02), (None, None, None)],
)
def test_a_speed_up_is_as_noisy_as_the_noisier_of_its_two_times(own, uncached, expected) -> None:
    rows = [
        row("uncached", kind=Kind.UNCACHED, seconds=9.3, speedup=1.0, timing_noise=uncached),
        row("a", seconds=0.2, speedup=47.2, timing_noise=own),
        row("failed", error="no", timing_noise=own),
    ]
    bare, cached, failed = Results(rows=rows, models=[]).rows
    assert (cached.timing_noise, cached.speedup_noise) == (own, expected), "its own time is as sure as it was"
    assert (bare.speedup_noise, failed.speedup_noise) == (uncached, None)
    assert cached.noisy_speedup == (expected == 0.5)


def test_the_uncached_time_of_another_model_spoils_nothing() -> None:
    loud = row("uncached", kind=Kind.UNCACHED, speedup=1.0, timing_noise=0.5)
    other = row("a", speedup=4.0, timing_noise=0.02).model_copy(update={"model": "n"})
    assert not Results(rows=[loud, other], models=[]).rows[1].noisy_speedup


def test_a_row_has_a_computed_step() -> None:
    with pytest.raises(ValidationError, match="nfe"):
        Row.model_validate({**row("a").model_dump(), "nfe": 0})


def test_a_score_that_no_metric_describes_is_refused() -> None:
    with pytest.raises(ValidationError, match="rows: psnr: `metrics` has no description"):
        Results(rows=[row("a", psnr=1.0)], models=[], metrics={"psnr_db": PSNR})
    with pytest.raises(ValidationError, match="secnds"):
        row("a", secnds="two")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (row("uncached", kind=Kind.UNCACHED), None),
        (row("a", psnr_db=30.0), None),
        (row("a", psnr_db=30.0, work=10.04), None),
        (row("a", psnr_db=30.0, work=10.06), "did the work of 10.1 steps, more than 10"),
        (row("a", psnr_db=30.0, work=13.1, whole_steps=10.0), None),
        (row("a", psnr_db=30.0, work=9.0, whole_steps=10.5), "computed 10.5 whole steps, more than 10"),
        (row("a", work=12), "did the work of 12 steps, more than 10"),
        (row("a", error="no memory"), "failed: no memory"),
        (row("a", ssim=1.0), "its samples are identical to the uncached run's"),
        (row("a", seconds=1.0), "its samples were not scored"),
    ],
)
def test_who_competes(found: Row, reason: str | None) -> None:
    assert found.exclusion == reason
    assert found.competes == (reason is None and found.kind is not Kind.UNCACHED)


def test_rivals_are_ranked_at_their_nfe_and_a_plain_run_can_win() -> None:
    rows = [
        row("uncached", 50, Kind.UNCACHED),
        row("mine", psnr_db=20.0),
        row("greedy", psnr_db=40.0, work=30),
        row("fewer_steps_10", kind=Kind.FEWER_STEPS, psnr_db=25.0),
        row("other", 8, psnr_db=30.0),
    ]
    results = Results(rows=rows, models=[], metrics={"psnr_db": PSNR})
    assert results.nfes("m") == [10, 8]
    assert [each.name for each in ranked(rows, 10)] == ["fewer_steps_10", "mine"]
