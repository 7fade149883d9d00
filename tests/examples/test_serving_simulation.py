"""The simulated queue keeps the laws of queues, and reads what it is told to read."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from examples.serving_simulation import (
    ASSUMPTIONS,
    Cluster,
    Service,
    main,
    point,
    read_assumptions,
    read_system,
    simulate,
)

ROOT = Path(__file__).parents[2]
FLUX = ROOT / "benchmarks" / "results" / "full-size-flux-nvidia-h200.json"
#: 2 steps of a second and 3 of a quarter: 2.75 s.
SERVICE = Service(steps=5, computed=2, computed_s=1.0, predicted_s=0.25)
SECONDS = 2.75


def serve(arrivals: list[float], service: Service = SERVICE, replicas: int = 1, largest: int = 1) -> list[float]:
    """The latencies of requests that arrive at these times."""
    cluster = Cluster(service, replicas, largest, np.random.default_rng(0))
    return cluster.run(np.array(arrivals)).latencies.tolist()


def test_requests_wait_for_those_before_them():
    assert serve([0, 1, 10]) == [2.75, 4.5, 2.75]
    assert serve([0, 1, 2], replicas=2) == [2.75, 2.75, 3.5]


def test_requests_that_wait_start_together_and_a_batch_takes_as_long_as_is_told():
    assert serve([0, 1, 2], largest=4) == [2.75, 2.75 + 5.5 - 1, 2.75 + 5.5 - 2]
    half = replace(SERVICE, shared=0.5)
    assert serve([0, 1, 2], half, largest=4) == [2.75, 2.75 + 4.125 - 1, 2.75 + 4.125 - 2]
    assert serve([0, 1, 2], half, largest=1) == serve([0, 1, 2])
    assert serve([0, 1], replace(SERVICE, other_s=0.25), largest=1) == [3.0, 5.0]


def test_requests_join_a_running_batch_between_its_parts():
    # Two parts of 1.375 s: the second request joins at the first boundary, and has a part with company and one alone.
    joining = replace(SERVICE, parts=2)
    assert serve([0, 1], joining, largest=2) == [1.375 + 2.75, 1.375 + 2.75 + 1.375 - 1]
    assert serve([0, 1], joining, largest=1) == serve([0, 1])


def test_a_batch_with_gates_computes_every_step_that_one_of_its_requests_wants():
    gated = Service(steps=50, computed=10, computed_s=1.0, predicted_s=0.0, gated=True)
    draw = np.random.default_rng(1)
    assert gated.seconds(1, draw) == 10
    computed = [gated.seconds(4, draw) / 4 for _ in range(400)]
    assert min(computed) >= 10
    assert np.mean(computed) == pytest.approx(50 * (1 - 0.8**4), abs=4 * np.std(computed) / 20)
    assert replace(gated, gated=False).seconds(4, draw) / 4 == 10


def test_the_mean_wait_is_that_of_a_server_with_fixed_times_of_service():
    # M/D/1 (Pollaczek and Khinchine): load / (2 (1 - load)) times of service.
    load, requests = 0.7, 4000
    runs = [simulate(SERVICE, load / SECONDS, requests, seed) for seed in range(24)]
    waits = [run.latencies[requests // 10 :].mean() - SECONDS for run in runs]
    error = np.std(waits, ddof=1) / np.sqrt(len(waits))
    assert error < 0.05 * SECONDS
    assert np.mean(waits) == pytest.approx(load / (2 * (1 - load)) * SECONDS, abs=3.5 * error)
    busy = [run.busy / run.span for run in runs]
    assert np.mean(busy) == pytest.approx(load, abs=3.5 * np.std(busy, ddof=1) / np.sqrt(len(busy)))


@pytest.mark.parametrize(
    ("service", "replicas", "largest"),
    [(SERVICE, 1, 1), (SERVICE, 3, 1), (SERVICE, 2, 4), (replace(SERVICE, parts=2), 2, 4)],
)
def test_littles_law_holds(service, replicas, largest):
    # Requests in the system, added up over time by the events, are the times that requests spend in it.
    run = simulate(service, 0.8 * service.capacity(replicas), 2000, 5, replicas=replicas, largest=largest)
    inside, rate = run.waiting_and_served / run.span, len(run.latencies) / run.span
    assert inside == pytest.approx(rate * run.latencies.mean(), rel=1e-9)
    assert (run.latencies >= service.seconds(1, np.random.default_rng(0)) * 0.999).all()


@pytest.mark.parametrize("replicas", [1, 3, 4])
def test_several_servers_keep_lindleys_recursion(replicas):
    # With one queue and fixed times of service, request n takes the server of request n - replicas.
    arrivals = np.cumsum(np.random.default_rng(2).exponential(SECONDS / replicas / 0.9, 500))
    done = np.zeros(len(arrivals))
    for number, arrival in enumerate(arrivals):
        free = done[number - replicas] if number >= replicas else 0.0
        done[number] = max(arrival, free) + SECONDS
    assert serve(arrivals.tolist(), replicas=replicas) == pytest.approx((done - arrivals).tolist())


def test_a_seed_gives_the_same_run_and_another_seed_another():
    first, again, other = (simulate(SERVICE, 0.3, 200, seed, largest=2).latencies for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_step_times_are_those_of_the_file():
    system = read_system(FLUX, "lesa-n7", other_seconds=0.5)
    assert system.device == "NVIDIA H200"
    assert system.uncached.seconds(1, np.random.default_rng(0)) == pytest.approx(8.782812827 + 0.5)
    assert system.cached.seconds(1, np.random.default_rng(0)) == pytest.approx(1.845266129 + 0.5)
    assert (system.cached.computed, system.cached.steps) == (10, 50)
    assert system.cached.computed_s == system.uncached.computed_s


def test_of_several_runs_the_middle_one_is_shown():
    told = read_assumptions(ASSUMPTIONS)[0].model_copy(update={"requests": 300, "repeats": 3, "seed": 4})
    at = point(SERVICE, 1.2, told)
    tails = sorted(
        simulate(SERVICE, 1.2, 300, seed, replicas=told.replicas).percentiles(told.first_left_out)[1]
        for seed in (4, 5, 6)
    )
    assert at.p95 == tails[1]
    assert at.spread == pytest.approx((tails[2] - tails[0]) / tails[1])
    assert at.batch == 1


@pytest.fixture
def told(tmp_path: Path) -> dict:
    raw = yaml.safe_load(ASSUMPTIONS.read_text("utf-8"))
    return raw | {"requests": 100, "repeats": 1, "systems": [{"file": str(FLUX), "method": "lesa-n7"}]}


def write(folder: Path, raw: object) -> str:
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(raw), "utf-8")
    return str(path)


def test_the_command_prints_both(told, tmp_path, capsys):
    assert main([write(tmp_path, told)]) == 0
    shown = capsys.readouterr().out
    assert "FLUX.1-dev, 1024x1024 on 4 x NVIDIA H200" in shown
    assert re.findall(r"(\S+): ([\d.]+) requests a minute", shown) == [("uncached", "27.3"), ("lesa-n7", "130.1")]
    assert shown.count("p99") == 2 * len(told["loads"])


@pytest.mark.parametrize("told_by", ["docs/explanation/scale.md", "examples/serving_simulation.py"])
def test_a_copy_as_it_is_told_finds_its_results(tmp_path, monkeypatch, told_by):
    text = (ROOT / told_by).read_text("utf-8")
    ((source, copy),) = re.findall(r"^(?:\$ )?cp (\S+) (\S+)", text, re.MULTILINE)
    assert re.search(rf"^(?:\$ )?python examples/serving_simulation.py {re.escape(copy)}\b", text, re.MULTILINE)
    (tmp_path / "examples").mkdir()
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / source, copy)
    assert read_assumptions(Path(copy)) == read_assumptions(ASSUMPTIONS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"replicas": 0}, "replicas: Input should be greater than or equal to 1"),
        ({"replica": 2}, "replica: Extra inputs are not permitted"),
        (
            {"systems": [{"file": str(FLUX), "method": "uncached"}]},
            "no cached method 'uncached'. Its cached methods: le",
        ),
        ({"systems": [{"file": "missing.json", "method": "lesa-n7"}]}, "missing.json"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(told, tmp_path, capsys, change, said):
    assert main([write(tmp_path, told | change)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
