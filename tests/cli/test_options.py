from __future__ import annotations

from pathlib import Path

import pytest

from lesa_framework import ConfigError, NamedModel
from lesa_framework.cli.options import demo_prompts
from lesa_framework.pipelines import ModelSource


def drawn(seed: int, count: int, *, training: bool = False) -> list[str]:
    return [f"training {training}, seed {seed}"] * count


def easy(seed: int, count: int) -> list[str]:
    return [f"easy {seed}"] * count


def test_demo_prompts_are_a_model_s_own_and_otherwise_held_out_ones(tmp_path: Path) -> None:
    own = ModelSource("mine", str(tmp_path), NamedModel(tmp_path, prompts=drawn, demo_prompts=easy))
    plain = ModelSource("mine", str(tmp_path), NamedModel(tmp_path, prompts=drawn))
    assert demo_prompts(own, 2, 3) == ["easy 3", "easy 3"]
    assert demo_prompts(plain, 1, 3) == ["training False, seed 3"]
    with pytest.raises(ConfigError, match="has no source of prompts"):
        demo_prompts(ModelSource("theirs", str(tmp_path), None), 1, 0)
