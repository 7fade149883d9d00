"""What is registered as another sort of thing than it is, or as an object in place of its class, is refused."""

from __future__ import annotations

from typing import Literal

import pytest

from lesa_framework import PluginContractError, Predictor, PredictorConfig, Reuse
from lesa_framework.plugin.manager import Plugins
from tests.plugin.registering import WideConfig, plugin


class MineConfig(PredictorConfig):
    kind: Literal["mine"] = "mine"

    def build(self) -> Predictor:
        return Reuse()


@pytest.mark.parametrize(
    ("call", "given", "base"),
    [
        ("add_predictor", MineConfig(), "PredictorConfig"),
        ("add_predictor", Reuse, "PredictorConfig"),
        ("add_predictor", WideConfig, "PredictorConfig"),
        ("add_predictor", "mine", "PredictorConfig"),
        ("add_schedule", MineConfig, "ScheduleConfig"),
        ("add_router", MineConfig, "RouterConfig"),
        ("add_custom_backbone", MineConfig, "CustomBackboneConfig"),
    ],
)
def test_only_a_configuration_s_class_of_the_sort_is_registered(call, given, base):
    found = Plugins()
    with pytest.raises(PluginContractError, match=rf"bad: {call} needs a subclass of {base}, not .+\."):
        found.add("bad", plugin(lambda registrar: getattr(registrar, call)(given)))
    assert found.names() == []
    assert not found.registry.has_any_of("bad")


def test_what_is_right_is_registered():
    found = Plugins()
    found.add("good", plugin(lambda registrar: registrar.add_predictor(MineConfig)))
    assert found.registry.predictors.items() == {"mine": MineConfig}
