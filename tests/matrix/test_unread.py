"""Modules of diffusers' own models that nothing but the blocks reads: they rest, and no bit of an output changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lesa_framework import Strategy
from lesa_framework.runtime.model.unread import Unread
from lesa_framework.testing import attach, even_grid, sample
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages, Hold
from tests.matrix.case import Case
from tests.matrix.cases import CASES

#: Of torch and diffusers about themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.FluxPosEmbed. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),
    pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning"),
]

GRID = even_grid(5)
#: The paper's three: the embeddings of the latent and of the prompt, and the positions.
RESTING = {
    "flux": {"x_embedder", "context_embedder", "pos_embed"},
    "qwen_image": {"img_in", "txt_norm", "txt_in", "pos_embed"},
    "hunyuan_video": {"x_embedder", "context_embedder", "rope"},
}


def outputs(case: Case) -> list[Tensor]:
    model = case.make_model()
    with attach(model, case.adapter(), Strategy(ComputeSteps((0, 3)), EqualStages(), Hold()), GRID):
        return sample(model, case.call, case.make_latent(1), GRID)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_no_output_changes_by_a_bit(case: Case, monkeypatch):
    resting: set[str] = set()
    learn = Unread.learn

    def noted(self: Unread, *call) -> None:
        learn(self, *call)
        unread = {number for found in self._found.values() for number in found}
        resting.update(name for name, child in self._model.named_children() if id(child) in unread)

    monkeypatch.setattr(Unread, "learn", noted)
    found = outputs(case)
    monkeypatch.setattr(Unread, "learn", lambda *_: None)
    assert all(map(torch.equal, found, outputs(case)))
    assert resting == RESTING.get(case.kind, resting)
