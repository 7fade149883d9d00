"""One model's measurement: what is counted, what is timed, and what happens when a method fails."""

import math

import pytest
import torch

from benchmarks.full_size import bench
from benchmarks.full_size.bench import unfinished
from benchmarks.full_size.cases import CASES, FLUX, QWEN_IMAGE, paper_steps
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.sampler import Denoiser, build_denoiser
from lesa_framework.measure.results_file import read_results
from lesa_framework.measure.subject import fingerprint
from tests.benchmarks.full_size.benches import STEPS, failing, littering, measure, short


def _rows(results):
    return {row.name: row for row in results.rows}


def _names(case):
    return [f"{method}-n{case.intervals[0]}" for method in ("lesa", "taylorseer", "reuse")]


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def finished(request):
    results, _ = measure(request.param, *_names(request.param))
    return request.param, results


def test_every_method_computes_what_it_says(finished):
    case, results = finished
    computed, rows, (model,) = paper_steps(case.intervals[0], STEPS), _rows(results), results.models
    plan = "".join("F" if step in computed else "P" for step in range(STEPS))
    assert [row.error for row in rows.values()] == [None] * 4
    for name in _names(case):
        assert (rows[name].nfe, rows[name].work) == (len(computed), len(computed))
        assert set(model.details[name].plans.values()) == {plan}
        assert len(model.details[name].plans) == len(case.text_tokens)
        assert not model.details[name].fallbacks
        assert rows[name].cache_bytes > 0
        assert rows[name].flops < rows["uncached"].flops
    assert rows["uncached"].work == STEPS
    assert rows["uncached"].cache_bytes == 0


def test_operations_of_a_run_follow_from_its_first_steps(finished, monkeypatch):
    case, results = finished
    monkeypatch.setattr("benchmarks.full_size.first_steps._PREDICTED", STEPS)
    whole, _ = measure(case, *_names(case))
    assert [row.flops for row in whole.rows] == [row.flops for row in results.rows]


def test_the_split_adds_up_to_the_run(finished):
    _, results = finished
    row, details = results.rows[1], results.models[0].details[results.rows[1].name]
    assert sum(details.split_seconds.values()) == pytest.approx(row.seconds)
    assert set(details.computed_call) == {"prelude", "stack", "predictor", "head"}
    assert details.predicted_call["stack"] == 0.0
    assert details.computed_call["stack"] > 0.0


def test_bandwidth_is_measured_once_for_each_predictor_that_moves_anything(finished):
    case, results = finished
    found = {name: each.bandwidth for name, each in results.models[0].details.items() if each.bandwidth}
    assert {name: each.taps for name, each in found.items()} == {_names(case)[0]: 8, _names(case)[1]: 3}
    lesa = found[_names(case)[0]]
    feature = math.prod(lesa.feature_shape) * 4
    assert (lesa.bytes_read, lesa.bytes_written) == (8 * feature, feature)
    assert lesa.bytes_per_second == pytest.approx(9 * feature / lesa.seconds)
    assert lesa.copy_bytes_per_second == pytest.approx(9 * feature / lesa.copy_seconds)
    assert lesa.share_of_copy == pytest.approx(lesa.bytes_per_second / lesa.copy_bytes_per_second)


def test_rounds_are_taken_in_turns_over_the_same_inputs():
    results, said = measure(FLUX, "lesa-n5", "reuse-n5", rounds=2)
    last = said[said.index("round 2 of 2") + 1 :]
    assert last == ["uncached", "lesa-n5", "reuse-n5"]
    (model,) = results.models
    assert [len(each.seconds) for each in model.details.values()] == [2, 2, 2]
    times = zip(model.details["uncached"].seconds, model.details["lesa-n5"].seconds, strict=True)
    assert _rows(results)["lesa-n5"].speedup == pytest.approx(sum(bare / ours for bare, ours in times) / 2)
    assert model.pairs == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("does not fit\nat all"), "ValueError: does not fit at all"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 50.00 GiB."), "out of memory"),
    ],
)
def test_a_method_that_fails_says_so_and_the_others_continue(error, told):
    results, _ = measure(FLUX, "lesa-n5", extra=[failing("peer", error)], rounds=2)
    rows = _rows(results)
    assert rows["peer"].error == told
    assert rows["peer"].seconds is None
    assert len(results.models[0].details["lesa-n5"].seconds) == 2


def test_a_method_that_leaves_the_model_changed_stops_the_run():
    results, _ = measure(FLUX, extra=[littering("untidy"), failing("later", ValueError())])
    rows = _rows(results)
    assert rows["uncached"].error is None
    assert rows["untidy"].error == rows["later"].error == "not run"
    assert results.notes[-1].startswith("Stopped: untidy was detached and left the model changed")


def test_nothing_begins_after_the_deadline():
    results, _ = measure(FLUX, "lesa-n5", budget=-1.0)
    assert results.rows == []
    assert "time budget" in results.notes[-1]


def test_our_methods_are_timed_before_the_search_for_peers_begins():
    _, said = measure(FLUX, "reuse-n7", "diffusers_first_block_cache")
    assert said.index("reuse-n7") < said.index("settings of peers") < said.index("diffusers_first_block_cache")


def test_a_round_begins_only_if_there_is_time_for_all_of_it(monkeypatch):
    monkeypatch.setattr(bench, "_round_seconds", lambda _: 1e9)
    results, _ = measure(FLUX, "lesa-n5", rounds=3)
    assert "allowed 1 of 3 rounds" in results.notes[-1]
    assert len(results.models[0].details["lesa-n5"].seconds) == 1


def test_the_model_is_clean_after_a_measurement(monkeypatch):
    kept = build_denoiser(short(QWEN_IMAGE), Cpu())
    before, bare = fingerprint(kept.transformer), kept.run(STEPS)
    monkeypatch.setattr(bench, "build_denoiser", lambda *_: kept)
    measure(QWEN_IMAGE, "lesa-n10")
    assert fingerprint(kept.transformer) == before
    assert torch.equal(kept.run(STEPS), bare)


@pytest.fixture
def earlier(tmp_path):
    """The file of an earlier run."""
    path = tmp_path / "results.json"
    path.write_text("measured before")
    return path


def test_a_run_that_is_killed_leaves_the_methods_that_it_had_timed(earlier):
    killed = failing("last", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        measure(FLUX, "reuse-n7", extra=[killed], path=earlier)
    rows = _rows(read_results(unfinished(earlier)))
    assert (rows["reuse-n7"].error, rows["last"].error) == (None, "not run")
    assert earlier.read_text() == "measured before"


def test_an_uncached_run_that_fails_later_costs_no_round_before_it(monkeypatch, earlier):
    times = []

    def run(denoiser, *arguments, on_step=None, **named):
        times.append(on_step is not None)
        if times.count(True) == 4:  # after the warm-up and a round of two methods
            raise ValueError("no more")
        return sample(denoiser, *arguments, on_step=on_step, **named)

    sample = Denoiser.run
    monkeypatch.setattr(Denoiser, "run", run)
    results, said = measure(FLUX, "reuse-n7", rounds=2, path=earlier)
    assert {row.name: row.error for row in results.rows} == {"uncached": None, "reuse-n7": None}
    assert [len(each.seconds) for each in results.models[0].details.values()] == [1, 1]
    assert results.notes[-1] == "Stopped: ValueError: no more"
    assert said[-1] == f"did not come to its end; written to {unfinished(earlier)}"
    assert read_results(unfinished(earlier)).rows == results.rows
    assert earlier.read_text() == "measured before"


def test_a_run_without_rows_replaces_no_file(earlier):
    measure(FLUX, budget=-1.0, path=earlier)
    assert read_results(unfinished(earlier)).rows == []
    assert earlier.read_text() == "measured before"


def test_a_run_without_rows_leaves_those_of_a_killed_one(earlier):
    with pytest.raises(KeyboardInterrupt):
        measure(FLUX, extra=[failing("last", KeyboardInterrupt())], path=earlier)
    kept = unfinished(earlier).read_text()
    results, said = measure(FLUX, budget=-1.0, path=earlier)
    assert results.rows == []
    assert unfinished(earlier).read_text() == kept
    assert said[-1] == f"{results.notes[-1]}; {unfinished(earlier)} keeps what an earlier run has measured"


def test_a_run_that_comes_to_its_end_replaces_the_file(earlier):
    unfinished(earlier).write_text("of a killed run")
    results, said = measure(FLUX, "reuse-n7", path=earlier)
    assert read_results(earlier).rows == results.rows
    assert said[-1] == f"written to {earlier}"
    assert not unfinished(earlier).exists()


def test_times_are_good_without_a_bandwidth(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(bench, "measure_bandwidth", full)
    results, _ = measure(FLUX, "lesa-n7", rounds=2)
    assert results.notes[-1] == "No bandwidth was measured: out of memory"
    assert [len(each.seconds) for each in results.models[0].details.values()] == [2, 2]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_gpus_dtype_works_throughout(case):
    name = _names(case)[0]
    results, _ = measure(case, name, device=Cpu(torch.bfloat16))
    details = results.models[0].details[name]
    assert (results.rows[-1].error, details.fallbacks) == (None, {})
    assert details.bandwidth.dtype == "bfloat16"
    assert details.bandwidth.bytes_written == math.prod(details.bandwidth.feature_shape) * 2
