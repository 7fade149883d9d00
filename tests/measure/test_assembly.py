from __future__ import annotations

from pathlib import Path

import lesa_framework as lesa
from lesa_framework.measure.assembly import portable


def test_results_name_weights_without_the_folder_they_lie_in(tmp_path: Path) -> None:
    config = lesa.load_config("ref-flux-lesa-n7", [f"predictor.weights={tmp_path / 'w.safetensors'}"])
    text = lesa.dump_config(portable(config))
    assert "weights: w.safetensors" in text
    assert str(tmp_path) not in text


def test_configurations_without_files_stay_as_they_are() -> None:
    config = lesa.load_config("ref-flux-taylorseer-n7")
    assert portable(config) == config
