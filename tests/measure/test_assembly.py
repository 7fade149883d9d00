from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lesa_framework as lesa
from lesa_framework.measure.assembly import Measured, assemble, portable
from lesa_framework.measure.cells import Entry
from lesa_framework.measure.lineup import fewer_steps, uncached
from lesa_framework.measure.results import Kind
from lesa_framework.measure.scoring import Metrics
from tests.measure.benches import STEPS, Bench


def test_results_name_weights_without_the_folder_they_lie_in(tmp_path: Path) -> None:
    config = lesa.load_config("ref-flux-lesa-n7", [f"predictor.weights={tmp_path / 'w.safetensors'}"])
    text = lesa.dump_config(portable(config))
    assert "weights: w.safetensors" in text
    assert str(tmp_path) not in text


def test_a_plain_run_beside_a_gate_has_no_command_of_its_own(tmp_path: Path, flux_folder: Path) -> None:
    bench = Bench(tmp_path, flux_folder)
    bench.raw["nfe"] = [4]
    benchmark = bench.benchmark()
    gate = replace(uncached(STEPS), name="gate", kind=Kind.CACHE, nfe=None)
    even = replace(gate, name="even", nfe=3)  # as many as the gate turns out to need, and not in the file
    rows = [Entry(each) for each in (uncached(STEPS), gate, even, fewer_steps(4), fewer_steps(3))]
    (model,) = assemble(benchmark, [Measured(benchmark.tasks[0], rows, [2], Metrics(), 1, {})]).models
    assert model.sources["fewer_steps_4"].command.endswith("/fewer_steps_4")
    assert model.sources["fewer_steps_3"].command == ""


def test_configurations_without_files_stay_as_they_are() -> None:
    config = lesa.load_config("ref-flux-taylorseer-n7")
    assert portable(config) == config
