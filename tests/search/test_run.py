"""Whole searches on a tiny `FluxPipeline`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import ConfigError, Progress, load_config
from lesa_framework.artifacts import load_artifact
from lesa_framework.backbones import find_adapter
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.search.prompts import divided
from lesa_framework.search.record import load_record
from lesa_framework.search.run import SearchProgress, search
from lesa_framework.search.search import Limit
from lesa_framework.search.trial import PipelineTrials, guide_of, guides, tapped
from lesa_framework.training.run import train
from lesa_framework.types import Tap
from tests.pipelines import worded
from tests.pipelines.videos import SIZE
from tests.search.conftest import CALL, PROMPTS, GainConfig, GainFit, run


def test_a_fitted_predictor_on_found_steps(flux: Any, generate: Any, tmp_path: Path) -> None:
    seen: list[SearchProgress] = []
    found = run(flux, tmp_path, seen=seen)
    assert found.weights is not None
    metadata = load_artifact(found.weights, "gain").metadata
    assert metadata.training["search"]["tries"] == len(found.record.tried) == 6
    assert metadata.training["search"]["judge_prompts"] == 2
    best, even = found.record.outcome, found.record.compared[0]
    assert best is not None
    assert even.steps == (0, 2, 5)
    assert found.record.pooled(best) >= found.record.pooled(even)
    assert found.record.final is not None
    with lesa.accelerate(flux, found.config) as session:
        generate(flux, num_inference_steps=8)
    computed = [index for index, letter in enumerate(session.report.plan()) if letter == "F"]
    assert tuple(computed) == best.steps == found.record.final.steps
    assert list(dict.fromkeys(each.stage for each in seen)) == ["first fit", "recording", "searching", "fitting"]
    first = [each.share for each in seen if each.stage == "first fit"]
    assert first == [0.0, 0.5, 1.0]
    assert seen[-1].share == 1.0
    recording = [each.share for each in seen if each.stage == "recording"]
    assert recording == sorted(recording)
    assert recording[-1] == 1.0
    assert len(set(recording)) > 8, "every step of a batch is told"


def test_the_tap_is_what_the_predictor_prefers_unless_one_is_given(flux: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = {"schedule": {"kind": "steps", "compute": [0]}, "predictor": {"kind": "gain"}}
    assert tapped(load_config(raw), flux).backbone.tap == "pre_head"
    monkeypatch.setattr(GainConfig, "preferred_tap", Tap.OUTPUT)
    assert tapped(load_config(raw), flux).backbone == BackboneConfig(tap=Tap.OUTPUT)
    assert tapped(load_config(raw, ["backbone.tap=pre_head"]), flux).backbone.tap == "pre_head"
    second = worded.wan()
    second.transformer = None
    assert tapped(load_config(raw), second).backbone.tap == Tap.OUTPUT
    monkeypatch.setattr(find_adapter(flux.transformer).adapter.__class__, "taps", (Tap.PRE_HEAD,))
    assert tapped(load_config(raw), flux).backbone.tap == "pre_head"


def test_what_is_judged_is_what_a_run_gives(flux: Any, generate: Any, tmp_path: Path) -> None:
    found = run(flux, tmp_path, limit=Limit(tries=2))
    final = found.record.final
    assert final is not None
    seeds = dict(zip(PROMPTS, range(10_000, 10_006), strict=True))
    for prompt, db in zip(PROMPTS[4:], final.db, strict=True):
        call = {"prompt": prompt, "num_inference_steps": 8}
        uncached = generate(flux, seeds[prompt], **call)
        with lesa.accelerate(flux, found.config):
            cached = generate(flux, seeds[prompt], **call)
        error = (uncached - cached).double().square().mean().log10() * -10
        assert float(error) == pytest.approx(db, abs=0.01)


def test_what_cannot_be_fitted_is_told_before_the_prompts_are_run(
    flux: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fit: GainFit) -> Iterator[Progress]:
        raise ConfigError(f"training: not these runs of {len(fit._task.batches[0].prompts)}")
        yield

    monkeypatch.setattr(GainFit, "run", refuse)
    for guide in (None, "taylorseer"):  # the predictor's own fit is cheap, so it is tried beside another guide
        seen: list[SearchProgress] = []
        with pytest.raises(ConfigError, match="not these runs of 1"):
            run(flux, tmp_path, guide=guide, seen=seen)
        assert [(each.stage, each.share) for each in seen] == [("first fit", 0.0)]


def test_lesa_train_repeats_the_fit(flux: Any, tmp_path: Path) -> None:
    found = run(flux, tmp_path / "found", limit=Limit(tries=2))
    config = load_config(found.config)
    trained = train(config, flux, CALL, PROMPTS[:4], tmp_path / "again")
    assert found.weights is not None
    assert load_artifact(trained.weights).tensors == load_artifact(found.weights).tensors


def test_a_predictor_without_a_fit(flux: Any, tmp_path: Path) -> None:
    found = run(flux, tmp_path, "taylorseer", limit=Limit(tries=3))
    assert found.weights is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.html", "mine.search.json", "mine.yaml"]
    best = found.record.outcome
    assert best is not None
    assert load_config(found.config).schedule.compute == best.steps  # type: ignore[attr-defined]
    assert found.record.whole == 4  # what is not fitted on is tried on
    assert len(best.db) == 2


def test_a_dear_fit_is_searched_with_a_guide_and_fitted_once(flux: Any, tmp_path: Path) -> None:
    seen: list[SearchProgress] = []
    found = run(flux, tmp_path, "dear", guide="gain", limit=Limit(tries=2), seen=seen)
    assert [each.share for each in seen if each.stage == "first fit"] == [0.0, 0.5, 1.0], "the guide's alone"
    assert found.weights is not None
    assert load_artifact(found.weights, "dear").metadata.training["search"]["guide"] == "gain"
    with pytest.raises(ConfigError, match=r"--guide dear: has no cheap fit\. Give one of .*\bgain\b"):
        run(flux, tmp_path, "dear", guide="dear")


def test_the_guide_by_default() -> None:
    config = load_config({"schedule": {"kind": "always"}, "predictor": {"kind": "dear"}, "training": {"batch": 3}})
    guide = guide_of(config, None)
    assert guide.predictor.kind in ("fitted", "taylorseer")
    assert guide.training.batch == 3
    assert guide_of(guide, None) is guide


def test_a_predictor_that_only_a_file_makes_is_no_guide() -> None:
    config = load_config({"schedule": {"kind": "always"}, "predictor": {"kind": "dear"}})
    assert {"taylorseer", "fitted", "gain"} <= set(guides())
    with pytest.raises(
        ConfigError,
        match=r"--guide l2p: needs weights, which --guide cannot name\. Give one of (?!.*\bl2p\b).*\bgain\b",
    ):
        guide_of(config, "l2p")


def test_a_guide_whose_fit_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config({"schedule": {"kind": "always"}, "predictor": {"kind": "dear"}})
    monkeypatch.setattr(GainConfig, "fit_needs", ("some_module",))
    with pytest.raises(ConfigError, match="fitting 'gain': needs some_module, which is not installed"):
        guide_of(config, "gain")


def test_a_stopped_search_resumes_and_a_finished_one_is_not_repeated(make_flux: Any, tmp_path: Path) -> None:
    few = Limit(tries=4)
    whole = run(make_flux(), tmp_path / "whole", limit=few)

    class StopError(Exception):
        pass

    class Stopping(list[SearchProgress]):
        def append(self, step: SearchProgress) -> None:
            if step.newest is not None and len(step.record.tried) == 2:
                raise StopError

    with pytest.raises(StopError):
        run(make_flux(), tmp_path / "parts", limit=few, seen=Stopping())
    resumed = run(make_flux(), tmp_path / "parts", limit=few)
    assert [each.steps for each in resumed.record.tried] == [each.steps for each in whole.record.tried]
    assert [each.db for each in resumed.record.compared] == [each.db for each in whole.record.compared]
    assert not resumed.earlier
    seen: list[SearchProgress] = []
    assert run(make_flux(), tmp_path / "parts", limit=few, seen=seen).earlier
    assert seen == []
    longer = run(make_flux(), tmp_path / "parts", limit=Limit(tries=5))
    assert len(longer.record.tried) == 5
    assert load_record(longer.log) == longer.record


def test_the_time_of_uncached_runs_counts_once(flux: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, record = 0.0, PipelineTrials.record

    def slow(trials: PipelineTrials, told: Any) -> None:
        nonlocal now
        now += 100.0
        record(trials, told)

    class Stopping(list[SearchProgress]):
        def append(self, step: SearchProgress) -> None:
            assert step.newest is None, "even steps are compared, and nothing is tried yet"

    monkeypatch.setattr(PipelineTrials, "record", slow)
    monkeypatch.setattr("lesa_framework.search.run.time.monotonic", lambda: now)
    with pytest.raises(AssertionError, match="even steps are compared"):
        run(flux, tmp_path, limit=Limit(tries=1), seen=Stopping())
    assert run(flux, tmp_path, limit=Limit(tries=1)).record.seconds == 100.0


def test_a_folder_with_another_search_is_refused(flux: Any, tmp_path: Path) -> None:
    run(flux, tmp_path, limit=Limit(tries=1))
    with pytest.raises(ConfigError, match="is the record of another search"):
        run(flux, tmp_path, limit=Limit(tries=1), nfe=4)
    (tmp_path / "mine.search.json").unlink()
    with pytest.raises(ConfigError, match=r"mine\.yaml: is there already, without the record of a search beside it"):
        run(flux, tmp_path, limit=Limit(tries=1))


@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.parametrize("kind", ["taylorseer", "gain"])
def test_who_deletes_what_a_refusal_names_starts_afresh(flux: Any, tmp_path: Path, is_damaged: bool, kind: str) -> None:
    begun = partial(run, flux, tmp_path, kind, limit=Limit(tries=1))
    begun()
    if is_damaged:
        (tmp_path / "mine.search.json").write_text('{"tried": 3}')
    with pytest.raises(ConfigError, match="is not the record of a" if is_damaged else "of another search") as refusal:
        begun(nfe=4)
    for name in set(re.findall(r"mine\.[\w.]+\w", str(refusal.value))):
        (tmp_path / name).unlink()
    assert len(begun(nfe=4).record.compared[0].steps) == 4


def test_a_predictor_that_needs_more_steps_than_the_budget(flux: Any, tmp_path: Path) -> None:
    overrides = (
        "router.kind=thresholds",
        "router.boundaries=[0.9, 0.5]",
        "predictor.history=4",
        "predictor.hidden=[4]",
        "training.held_out=0.25",  # of the fit at the end, which has more batches than one
    )
    with pytest.raises(ConfigError, match="needs 4 computed steps before it predicts, and the budget is 3"):
        run(flux, tmp_path, "lesa", guide="taylorseer", overrides=overrides)


def test_a_second_transformer_has_its_own_first_steps_and_weights(tmp_path: Path) -> None:
    config = load_config({
        "schedule": {"kind": "steps", "compute": [0]},
        "predictor": {"kind": "taylorseer", "order": 1},
        "training": {"num_steps": 8},
    })  # fmt: skip
    pipe, prompts = worded.wan(), divided(PROMPTS[:4], 2, 0, fits=False)
    assert PipelineTrials(config, pipe, SIZE, prompts).fixed(config) == {0, 4}
    begun = partial(search, config, config, pipe, SIZE, prompts, 3, tmp_path, Limit(tries=1))
    assert {0, 4} < set(begun().record.outcome.steps)
    with torch.no_grad():
        next(pipe.transformer_2.parameters()).add_(1.0)
    with pytest.raises(ConfigError, match="is the record of another search: of another model"):
        begun()
