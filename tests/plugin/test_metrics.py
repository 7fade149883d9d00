"""Metrics are registered by a name of their own, which is no other key of results."""

from __future__ import annotations

import pytest

from lesa_framework import LoadedMetric, Metric, PluginContractError, UnknownPluginError
from lesa_framework.interfaces.metric import RESERVED
from lesa_framework.measure.assembly import FEATURE_ERROR
from lesa_framework.measure.results import Row
from lesa_framework.plugin.manager import Plugins
from tests.plugin.registering import plugin


class Sharpness(Metric):
    name = "sharpness"
    heading = "sharpness"
    higher_is_better = False
    summary = "How sharp a picture is."

    def load(self, device) -> LoadedMetric:
        raise NotImplementedError


def test_a_metric_is_registered_by_its_name():
    found, metric = Plugins(), Sharpness()
    found.add("mine", plugin(lambda registrar: registrar.add_metric(metric)))
    assert found.registry.metrics.names() == {"sharpness": "mine"}
    assert found.registry.metrics.get("sharpness") is metric
    with pytest.raises(UnknownPluginError) as caught:
        found.registry.metrics.get("sharpnes")
    assert str(caught.value) == (
        "metric: 'sharpnes' is not a registered metric. Known: 'sharpness' (mine). Did you mean 'sharpness'?"
    )


def test_a_metric_says_what_it_is():
    class Wordless(Sharpness):
        heading = ""
        summary = ""

    with pytest.raises(PluginContractError, match=r"^mine: metric Wordless sets no heading and no summary"):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_metric(Wordless())))


def test_a_metrics_class_is_no_metric():
    with pytest.raises(PluginContractError, match=r"^mine: add_metric needs a Metric instance, not .*Sharpness'>"):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_metric(Sharpness)))


@pytest.mark.parametrize("name", ["error", "feature_rel_l2"])
def test_a_metric_is_not_called_like_a_key_of_results(name):
    metric = Sharpness()
    metric.name = name
    with pytest.raises(PluginContractError, match=rf"^mine: metric '{name}': results have a key of this name already"):
        Plugins().add("mine", plugin(lambda registrar: registrar.add_metric(metric)))


def test_reserved_names_are_the_keys_of_a_row() -> None:
    assert {*Row.model_fields, FEATURE_ERROR} == RESERVED
