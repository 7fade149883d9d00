"""What a time depends on is written down."""

from __future__ import annotations

import torch

from lesa_framework.measure.environment import environment, versions


def test_versions_device_and_precision_are_there():
    found = environment(torch.device("cpu"), torch.bfloat16)
    assert (found["device"], found["precision"]) == ("cpu", "bfloat16")
    assert found["torch"] == torch.__version__
    assert all(isinstance(value, str) and value for value in found.values())


def test_a_package_that_is_missing_is_named():
    assert versions(["no-such-package"]) == {"no-such-package": "not installed"}
