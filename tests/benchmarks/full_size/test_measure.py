"""A race: what is counted, what is timed, and what happens when a method fails."""

import math
from dataclasses import replace

import pytest
import torch

from benchmarks.full_size.cases import CASES, FLUX, QWEN_IMAGE, paper_steps
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.measure import SpoiltError, fingerprint
from benchmarks.full_size.trial import row_of, run_flops
from tests.benchmarks.full_size.races import STEPS, failing, littering, race


def _rows(running):
    return {trial.method.name: row_of(trial, running.uncached) for trial in running.trials}


def _names(case):
    return [f"{method}-n{case.intervals[0]}" for method in ("lesa", "taylorseer", "reuse")]


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def finished(request):
    running, _ = race(request.param, *_names(request.param))
    running.first_round()
    return running


def test_every_method_computes_what_it_says(finished):
    case, rows = finished.denoiser.case, _rows(finished)
    computed, names = paper_steps(case.intervals[0], STEPS), _names(case)
    plan = "".join("F" if step in computed else "P" for step in range(STEPS))
    assert [rows[name].error for name in rows] == [None] * len(rows)
    for name in names:
        assert rows[name].nfe == len(computed)
        assert set(rows[name].plans.values()) == {plan}
        assert len(rows[name].plans) == len(case.text_tokens)
        assert not rows[name].fallbacks
        assert rows[name].cache_bytes > 0
        assert len(computed) <= rows[name].work_steps < STEPS
    assert rows["uncached"].work_steps == STEPS
    assert rows["uncached"].cache_bytes is None


def test_operations_of_a_run_follow_from_its_first_steps(finished):
    ours = replace(finished.trials[1])
    predicted = run_flops(ours, finished.uncached)
    ours.method = replace(ours.method, counted=None)
    finished._count(ours)
    assert ours.counted.steps == STEPS
    assert predicted == pytest.approx(run_flops(ours, finished.uncached), rel=1e-9)


def test_the_split_adds_up_to_the_run(finished):
    row = row_of(finished.trials[1], finished.uncached)
    assert sum(row.split_seconds.values()) == pytest.approx(row.seconds)
    assert set(row.computed_call) == {"prelude", "stack", "predictor", "head"}
    assert row.predicted_call["stack"] == 0.0
    assert row.computed_call["stack"] > 0.0


def test_bandwidth_is_measured_once_for_each_predictor_that_moves_anything(finished):
    lesa, taylor = finished.bandwidths()
    names = _names(finished.denoiser.case)
    assert (lesa.name, lesa.taps, taylor.name, taylor.taps) == (names[0], 8, names[1], 3)
    feature = math.prod(lesa.feature_shape) * 4
    assert (lesa.bytes_read, lesa.bytes_written) == (8 * feature, feature)
    assert lesa.bytes_per_second == pytest.approx(9 * feature / lesa.seconds)
    assert lesa.copy_bytes_per_second == pytest.approx(9 * feature / lesa.copy_seconds)
    assert lesa.share_of_copy == pytest.approx(lesa.bytes_per_second / lesa.copy_bytes_per_second)


def test_rounds_are_taken_in_turns():
    running, said = race(FLUX, "lesa-n5", "reuse-n5")
    running.first_round()
    said.clear()
    assert running.next_round()
    assert [line.split(":")[0] for line in said] == ["uncached", "lesa-n5", "reuse-n5"]
    row = _rows(running)["lesa-n5"]
    assert len(row.samples) == 2
    ratios = sorted(bare / ours for bare, ours in zip(running.uncached.seconds, row.samples, strict=True))
    assert row.speedup == pytest.approx(sum(ratios) / 2)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("does not fit\nat all"), "ValueError: does not fit"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 50.00 GiB."), "out of memory"),
    ],
)
def test_a_method_that_fails_says_so_and_the_others_go_on(error, told):
    running, said = race(FLUX, "lesa-n5", extra=[failing("peer", error)])
    running.first_round()
    assert running.next_round()
    rows = _rows(running)
    assert rows["peer"].error == told
    assert rows["peer"].seconds is None
    assert f"peer: {told}" in said
    assert len(rows["lesa-n5"].samples) == 2


def test_a_method_that_leaves_the_model_changed_ends_the_race():
    running, _ = race(FLUX, extra=[littering("untidy"), failing("later", ValueError())])
    with pytest.raises(SpoiltError, match="untidy"):
        running.first_round()
    rows = _rows(running)
    assert rows["uncached"].error is None
    assert "left the model changed" in rows["untidy"].error
    assert rows["later"].error == "not run: untidy spoilt the model"


def test_nothing_is_begun_behind_the_deadline():
    running, _ = race(FLUX, "lesa-n5", seconds=-1.0)
    running.first_round()
    assert not running.next_round()
    assert "time budget" in _rows(running)["uncached"].error


def test_the_model_is_clean_behind_a_race():
    running, _ = race(QWEN_IMAGE, "lesa-n10")
    before = fingerprint(running.denoiser.transformer)
    bare = running.denoiser.run(STEPS)
    running.first_round()
    assert fingerprint(running.denoiser.transformer) == before
    assert torch.equal(running.denoiser.run(STEPS), bare)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_gpus_dtype_works_throughout(case):
    running, _ = race(case, _names(case)[0], device=Cpu(torch.bfloat16))
    running.first_round()
    row = row_of(running.trials[-1], running.uncached)
    assert (row.error, row.fallbacks) == (None, {})
    (lesa,) = running.bandwidths()
    assert lesa.dtype == "bfloat16"
    assert lesa.bytes_written == math.prod(lesa.feature_shape) * 2
