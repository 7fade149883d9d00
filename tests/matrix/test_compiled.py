"""Tiny models of diffusers, compiled: the outputs of every step are those of the uncompiled model, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lesa_framework import Reuse, Session, Strategy
from lesa_framework.testing import attach, even_grid, sample
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from tests.fixtures_compile import Compiler
from tests.matrix.case import Case
from tests.matrix.cases import CASES

GRID = even_grid(5)
#: One without a condition, whose blocks need stand-ins, two of the paper's, and one whose head is given float32.
KINDS = ("dit", "qwen_image", "hunyuan_video", "wan")


def attached(case: Case, model: nn.Module) -> Session:
    return attach(model, case.adapter(), Strategy(ComputeSteps((0, 3)), EqualStages(), Reuse()), GRID)


def outputs(case: Case, model: nn.Module) -> list[Tensor]:
    return sample(model, case.call, case.make_latent(1), GRID)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case.kind in KINDS], ids=lambda case: case.kind)
def test_a_compiled_model(case: Case, compiler: Compiler):
    model, bare = case.make_model(), case.make_model()
    model.compile(backend=compiler, fullgraph=True)
    with attached(case, model) as session, attached(case, bare):
        assert all(map(torch.equal, outputs(case, model), outputs(case, bare)))
        assert session.report.plan() == "FPPFP"
    assert compiler.graphs == 2


def with_lora(model: nn.Module) -> None:
    from peft import LoraConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "x_embedder"]))


@pytest.mark.slow
def test_a_lora_that_is_loaded_into_a_compiled_model(compiler: Compiler):
    case = next(case for case in CASES if case.kind == "flux")
    model, bare = case.make_model(), case.make_model()
    model.compile(backend=compiler, fullgraph=True)
    with attached(case, model), attached(case, bare):
        before = outputs(case, model)
        assert all(map(torch.equal, before, outputs(case, bare)))
        with_lora(model)
        with_lora(bare)
        with torch._dynamo.config.patch(error_on_recompile=False):
            after = outputs(case, model)
        assert all(map(torch.equal, after, outputs(case, bare)))
        assert not torch.equal(after[0], before[0])
        outputs(case, model)
    assert compiler.graphs == 4
