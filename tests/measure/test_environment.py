"""What a time depends on is written down."""

from __future__ import annotations

from importlib.metadata import EntryPoint, version
from types import SimpleNamespace

import pytest
import torch

from lesa_framework.measure import environment as of_environment
from lesa_framework.measure.environment import environment, software, sources, versions


def test_versions_device_and_precision_are_there():
    found = environment(torch.device("cpu"), torch.bfloat16)
    assert (found["device"], found["precision"]) == ("cpu", "bfloat16")
    assert found["torch"] == torch.__version__
    assert all(isinstance(value, str) and value for value in found.values())


def test_the_precision_is_left_out_while_no_model_is_loaded():
    place = torch.device("cpu")
    loaded = environment(place, torch.bfloat16, 2)
    assert environment(place, processes=2) == {key: value for key, value in loaded.items() if key != "precision"}


def test_a_package_that_is_missing_is_named():
    assert versions(["no-such-package"]) == {"no-such-package": "not installed"}


def test_libraries_that_a_plugin_requires_count_as_far_as_they_are_here(monkeypatch):
    before = software()
    requires = ["SafeTensors>=0.5", "numpy; extra == 'peer'", "torch", "no-such-package"]
    entries = [
        SimpleNamespace(module="mine.plugin", dist=SimpleNamespace(name="mine", requires=requires)),
        SimpleNamespace(module="bare.plugin", dist=SimpleNamespace(name="bare", requires=None)),
        *of_environment.entry_points(group="lesa"),
    ]
    monkeypatch.setattr(of_environment, "entry_points", lambda group: entries)
    assert software() == {**before, "numpy": version("numpy"), "safetensors": version("safetensors")}


@pytest.mark.parametrize("name", ["code_in_a_file.py", "code_in_a_package/deep.py"])
def test_the_code_of_a_plugin_counts(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    module = name.removesuffix(".py").replace("/", ".")
    monkeypatch.setattr(of_environment, "entry_points", lambda group: [EntryPoint("mine", module, group)])
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for text in ("x = 1", "x = 1", "x = 2"):
        path.write_text(text)
        found.append(sources.__wrapped__())
    assert found[0] == found[1] != found[2]
