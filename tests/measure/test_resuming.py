"""A benchmark that is stopped resumes, and says the same in the end."""

from __future__ import annotations

from typing import Any

import pytest

from lesa_framework.generation import generate_batch
from lesa_framework.measure import subject
from lesa_framework.measure.store import Store
from tests.measure.benches import Bench, timeless
from tests.progress_log import ProgressLog


class Killed(BaseException):
    """As a signal would."""


@pytest.fixture
def bench(tmp_path, flux_folder):
    return Bench(tmp_path, flux_folder)


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
