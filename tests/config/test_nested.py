from __future__ import annotations

from pathlib import Path

from lesa_framework import load_config
from lesa_framework.config.nested import weights_beneath


def test_the_files_beneath_a_predictor_are_those_of_all_that_it_builds_on_and_not_its_own():
    fitted = {"kind": "fitted", "weights": "/b.safetensors"}
    base = {"kind": "lesa", "weights": "/a.safetensors", "base": fitted}
    predictor = {"kind": "lesa", "weights": "/own.safetensors", "base": base}
    config = load_config({"schedule": {"kind": "always"}, "predictor": predictor})
    assert weights_beneath(config.predictor) == [Path("/a.safetensors"), Path("/b.safetensors")]
    bare = load_config({"schedule": {"kind": "always"}, "predictor": {**predictor, "base": {"kind": "taylorseer"}}})
    assert weights_beneath(bare.predictor) == []
