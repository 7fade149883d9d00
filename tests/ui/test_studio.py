"""Comparisons of a tiny pipeline with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from time import sleep
from zlib import crc32

import pytest

from lesa_framework.errors import ConfigError, LesaError
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.pipelines import find_model, load_pipeline
from lesa_framework.ui.asked import Asked, Sampled
from lesa_framework.ui.methods import CHOOSES, config_of, is_bound
from lesa_framework.ui.studio import Offered, Progress, StoppedRunError, Studio

_CALL = {"height": 16, "width": 16, "max_sequence_length": 8}


@pytest.fixture(scope="module")
def model(flux_folder: Path) -> str:
    return str(flux_folder)


@pytest.fixture(scope="module")
def studio(model: str) -> Studio:
    return Studio([Offered(find_model(model), _CALL)], device="cpu")


@pytest.fixture
def asked(model: str, request: pytest.FixtureRequest) -> Asked:
    """What no other test asks for: each has a seed of its own."""
    return Asked(Sampled(model, "a ring", crc32(request.node.name.encode()), 8), speedup=2.0)


def test_both_runs_are_those_of_the_pipeline_and_the_uncached_one_is_kept(studio: Studio, asked: Asked) -> None:
    told: list[Progress] = []
    first = studio.compare(asked, "me", told.append)
    assert [(each.what, each.step) for each in told if each.what != "loading"] == [
        (what, step) for what in ("uncached", "cached") for step in range(9)
    ]
    assert not first.was_kept
    assert first.report.choice is not None
    assert first.report.choice.kind == "taylorseer"
    assert first.report.nfe == 4
    assert 0 < float(first.scores["psnr_db"] or 0) < 200
    assert studio.has_uncached(asked.sample)
    pipe = load_pipeline(asked.sample.model, device="cpu")
    settings, sample = GenerationSettings(num_steps=8, call=_CALL), asked.sample
    assert generate_batch(pipe, [sample.prompt], [sample.seed], settings).images.equal(first.uncached.images)
    told.clear()
    again = studio.compare(replace(asked, method="even:reuse", speedup=4.0), "me", told.append)
    assert {each.what for each in told} == {"cached"}
    assert again.was_kept
    assert again.uncached is first.uncached
    assert again.report.nfe == 2
    assert again.report.choice is None


def test_only_who_asked_for_a_run_stops_it_and_the_model_is_left_as_it_was(studio: Studio, asked: Asked) -> None:
    def stop(now: Progress) -> None:
        if now.step == 2:
            studio.stop("other" if now.what == "uncached" else "me")

    with pytest.raises(StoppedRunError):
        studio.compare(asked, "me", stop)
    assert studio.has_uncached(asked.sample)  # it had ended
    studio.stop("me")  # nothing is under way
    assert studio.compare(asked, "me", lambda _: None).report.nfe == 4


def test_a_second_visitor_waits(studio: Studio, asked: Asked) -> None:
    order: list[str] = []
    inside, began = Event(), Event()

    def second() -> None:
        began.set()
        studio.compare(replace(asked, method="even:reuse"), "second", lambda _: order.append("second"))

    waiting = Thread(target=second)

    def first(now: Progress) -> None:
        order.append("first")
        if not inside.is_set():
            inside.set()
            waiting.start()
            began.wait(10)

    studio.compare(asked, "first", first)
    waiting.join(60)
    assert order == ["first"] * order.count("first") + ["second"] * order.count("second")
    assert {"first", "second"} == set(order)


def test_closing_waits_for_the_end_of_a_run_and_no_other_one_begins(model: str, asked: Asked) -> None:
    studio = Studio([Offered(find_model(model), _CALL)], device="cpu")
    inside = Event()
    steps: list[int] = []

    def hold(now: Progress) -> None:
        if now.what == "uncached":
            inside.set()
            sleep(0.3)
            steps.append(now.step)

    def run() -> None:
        with pytest.raises(StoppedRunError):
            studio.compare(asked, "me", hold)

    running = Thread(target=run)
    running.start()
    assert inside.wait(60)
    studio.close()
    made = len(steps)
    running.join(60)
    assert 0 < len(steps) == made < 8  # it had ended when the studio was closed
    assert not studio.has_uncached(asked.sample)
    with pytest.raises(StoppedRunError):
        studio.compare(asked, "me", lambda _: None)


@pytest.mark.parametrize(
    ("method", "speedup", "message"),
    [
        ("even:nonsense", 2.0, "Method: 'even:nonsense' is none of those in the list."),
        ("automatic", 1.0, "speedup: 1.0 is not a number above 1"),
        ("preset:ref-flux-reuse-n7", 2.0, "step 44 does not exist in a run of 8 steps"),
    ],
)
def test_what_does_not_fit_costs_no_run(
    studio: Studio, asked: Asked, method: str, speedup: float, message: str
) -> None:
    with pytest.raises(LesaError, match=message):
        studio.compare(replace(asked, method=method, speedup=speedup), "me", lambda _: None)
    assert not studio.has_uncached(asked.sample)


def test_a_model_that_is_not_offered(studio: Studio, asked: Asked) -> None:
    with pytest.raises(ConfigError, match=r"^Model: 'x' is none of those in the list"):
        studio.compare(replace(asked, sample=replace(asked.sample, model="x")), "me", lambda _: None)
    assert studio.prompt(asked.sample.model, 0) is None


def test_the_methods_are_those_that_fit(studio: Studio, model: str) -> None:
    found = {each.value: each.label for each in studio.methods(model, 50)}
    assert next(iter(found)) == CHOOSES.value
    assert found["preset:ref-flux-reuse-n7"] == "ref-flux-reuse-n7: reuse, 10/50 steps"
    assert found["even:hicache"] == "hicache: no weights, evenly spread steps"
    assert {"even:lesa", "even:fitted", "even:l2p"}.isdisjoint(found)  # without weights they are nothing
    presets = {value for value in found if is_bound(value)}
    assert not any("hunyuan" in value or "qwen" in value or "-lesa-" in value for value in presets)
    assert not any(is_bound(each.value) for each in studio.methods(model, 8))
    assert all(config_of(value, 5.0) is not None for value in list(found)[1:])
