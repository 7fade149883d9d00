"""Whatever a session leaves on a model is seen."""

from __future__ import annotations

import pytest
from torch import nn

from lesa_framework.testing import TinyContextDiT, TinyDiT
from lesa_framework.testing.conformance.traces import differences, traces


@pytest.mark.parametrize(
    "leave",
    [
        lambda model: setattr(model, "note", 1),
        lambda model: model.norm_out.register_forward_hook(lambda *_: None),
        lambda model: setattr(model, "forward", model.forward),
        lambda model: setattr(model, "__class__", TinyContextDiT),
        lambda model: setattr(model, "transformer_blocks", nn.ModuleList(model.transformer_blocks)),
        lambda model: model.transformer_blocks.append(nn.Identity()),
        lambda model: setattr(model, "proj_out", nn.Linear(16, 4)),
        lambda model: model.train(),
    ],
)
def test_traces_are_seen(leave):
    model = TinyDiT()
    before = traces(model)
    assert differences(before, traces(model)) == []
    leave(model)
    assert differences(before, traces(model))
