"""What the page offers for pipelines that have another transformer than most."""

from __future__ import annotations

from lesa_framework.generation import GenerationSettings
from lesa_framework.ui.methods import CHOOSES, offered
from tests.pipelines import worded
from tests.pipelines.videos import SIZE


def test_a_pipeline_with_its_second_transformer_alone_has_the_methods_of_its_kind() -> None:
    settings = GenerationSettings(num_steps=8, call=SIZE)
    found = offered(worded.low_noise_wan(), "wan", settings)
    assert found == offered(worded.wan(), "wan", settings)
    assert {CHOOSES.value, "even:reuse"} < {method.value for method in found}
