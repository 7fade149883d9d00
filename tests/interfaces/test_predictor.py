from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from lesa_framework import ConfigPath, Predictor, PredictorConfig


class Without(PredictorConfig):
    kind: Literal["without"] = "without"

    def build(self) -> Predictor:
        raise NotImplementedError


class Named(Without):
    weights: ConfigPath | str | list[float] | None = None


@pytest.mark.parametrize(
    ("config", "file"),
    [
        (Without(), None),
        (Named(), None),
        (Named(weights=[0.5]), None),
        (Named(weights="w.safetensors"), Path("w.safetensors")),
        (Named(weights=Path("w.safetensors")), Path("w.safetensors")),
    ],
    ids=["no setting", "no file", "numbers", "text", "path"],
)
def test_the_file_of_weights_is_the_one_that_the_setting_names(config, file):
    assert config.weights_file == file
