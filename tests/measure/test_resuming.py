"""A benchmark that is stopped resumes, and says the same in the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
from huggingface_hub import constants

from lesa_framework import ConfigPath, PredictorConfig
from lesa_framework.generation import generate_batch
from lesa_framework.measure import subject
from lesa_framework.measure.cells import Entry
from lesa_framework.measure.parts import Parts
from lesa_framework.measure.store import Store, identity_of_benchmark
from lesa_framework.pipelines import ModelSource
from lesa_framework.plugin.manager import plugins
from lesa_framework.processes import ALONE
from tests.measure.benches import timeless
from tests.progress_log import ProgressLog
from tests.search.conftest import Gain


class Killed(BaseException):
    """As a signal would."""


class GainConfig(PredictorConfig):
    """Its weights are a number in a text file."""

    kind: Literal["gain"] = "gain"
    weights: ConfigPath

    def build(self) -> Gain:
        return Gain(float(self.weights.read_text()))


@pytest.mark.parametrize("finished", [1, 5, 10])
def test_a_killed_benchmark_resumes_without_repeating_anything_and_says_the_same(
    bench, tmp_path, monkeypatch, finished
):
    whole = bench.run()
    everything = len(Store(bench.cells))
    bench.cells = tmp_path / "again"
    keep, kept = Store.keep, []

    def stop_after(store: Store, identity: Any, *rest: Any) -> None:
        if len(kept) == finished:
            raise Killed
        keep(store, identity, *rest)
        kept.append(identity)

    monkeypatch.setattr(Store, "keep", stop_after)
    with pytest.raises(Killed):
        bench.run()
    assert len(Store(bench.cells)) == finished < everything

    def note(store: Store, identity: Any, *rest: Any) -> None:
        assert identity not in kept, "measured twice"
        keep(store, identity, *rest)
        kept.append(identity)

    monkeypatch.setattr(Store, "keep", note)
    again = bench.run()
    assert len(kept) == everything
    assert timeless(again) == timeless(whole)
    runs: list[Any] = []
    monkeypatch.setattr(
        subject, "generate_batch", lambda *arguments: runs.append(arguments) or generate_batch(*arguments)
    )
    assert bench.run() == again, "finished: to the last digit, times included"
    assert len(runs) == 1, "and nothing but the two steps that warm the model up was run"


def test_a_changed_method_is_measured_again_and_the_others_are_not(bench):
    bench.run()
    bench.raw["methods"]["line"]["predictor"]["order"] = 2
    log = ProgressLog()
    bench.run(log)
    assert set(log.order) == {"line-a"}


def test_weights_that_are_written_again_meanwhile_are_not_what_was_measured(bench, tmp_path, monkeypatch):
    monkeypatch.setitem(plugins().registry.predictors._items, "gain", (GainConfig, "tests"))
    weights = tmp_path / "gain.txt"
    weights.write_text("0.9")
    bench.raw["methods"] = {"gain": {"predictor": {"kind": "gain", "weights": "gain.txt"}}}
    keep, kept = Store.keep, list[str]()

    def note(store: Store, identity: Any, *rest: Any) -> None:
        keep(store, identity, *rest)
        if identity["method"]["name"] == "gain-a":
            kept.append(identity["part"])

    def note_and_meddle(*given: Any) -> None:
        note(*given)
        if kept.count("run") == 1:
            weights.write_text("1.1")
        if kept.count("run") == 2:
            raise Killed

    monkeypatch.setattr(Store, "keep", note_and_meddle)
    with pytest.raises(Killed):
        bench.run()
    everything = kept.copy()
    kept.clear()
    monkeypatch.setattr(Store, "keep", note)
    bench.run()
    assert kept == everything == ["probe", "run", "run"]


def test_another_commit_of_a_model_of_the_hub_is_measured_again(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    task = replace(bench.benchmark().tasks[0], source=ModelSource("owner/flux", "owner/flux", None))
    whole = replace(bench.benchmark(), tasks=[task])

    def identities(commit: str) -> tuple[dict[str, Any], str]:
        repo = tmp_path / "models--owner--flux"
        (repo / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
        (repo / "snapshots" / commit / "model_index.json").write_text("{}")
        (repo / "refs").mkdir(exist_ok=True)
        (repo / "refs" / "main").write_text(commit)
        part = Parts(task, {}, [], ALONE).identity("run", Entry(task.caches[0]), task.pairs)
        return part, identity_of_benchmark(whole, [], {})

    part, finished = identities("aaa")
    assert identities("aaa") == (part, finished)
    other_part, other_finished = identities("bbb")
    assert part != other_part
    assert finished != other_finished
