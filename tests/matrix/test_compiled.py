"""Tiny models of diffusers, compiled: the outputs of every step are those of the uncompiled model, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from lesa_framework import Strategy
from lesa_framework.testing import attach, even_grid, sample
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages, Hold
from tests.matrix.case import Case
from tests.matrix.cases import CASES

GRID = even_grid(5)
#: One without a condition, whose blocks need stand-ins, the paper's, and one whose head is given float32.
KINDS = ("dit", "flux", "qwen_image", "hunyuan_video", "wan")


@pytest.fixture
def once() -> Iterator[None]:
    """Nothing is compiled again."""
    import torch._dynamo as dynamo

    dynamo.reset()
    with dynamo.config.patch(error_on_recompile=True):
        yield
    dynamo.reset()


def outputs(case: Case, *, compiled: bool) -> tuple[list[torch.Tensor], int]:
    graphs = []
    model, adapter = case.make_model(), case.adapter()

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    if compiled:
        model.compile(backend=backend, fullgraph=True)
    with attach(model, adapter, Strategy(ComputeSteps((0, 3)), EqualStages(), Hold()), GRID) as session:
        found = sample(model, case.call, case.make_latent(1), GRID)
        assert session.report.plan() == "FPPFP"
    return found, len(graphs)


@pytest.mark.slow
@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("case", [case for case in CASES if case.kind in KINDS], ids=lambda case: case.kind)
def test_a_compiled_model(case: Case):
    found, graphs = outputs(case, compiled=True)
    expected, _ = outputs(case, compiled=False)
    assert graphs == 2
    assert all(map(torch.equal, found, expected))
