"""LoRA and quantised layers: both replace modules inside the blocks, and neither is the session's business."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import torch

import lesa_framework as lesa
from tests.pipelines import flux
from tests.pipelines.case import EIGHT, check_pipeline, config, pipeline_of, trace

GUIDED = next(case for case in flux.CASES if case.name == "flux_guided")


def with_lora(names=("first",)):
    """FLUX with adapters of random numbers on its attention."""
    from peft import LoraConfig

    pipe = pipeline_of(GUIDED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for name in names:
            lora = LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v"])
            pipe.transformer.add_adapter(lora, adapter_name=name)
    pipe.transformer.set_adapters(list(names[:1]))
    return pipe


def test_lora():
    bare, pipe = pipeline_of(GUIDED), with_lora()
    assert not torch.equal(GUIDED.generate(pipe), GUIDED.generate(bare))
    check_pipeline(GUIDED, pipe)


def changes(pipe):
    """What users do with adapters between runs."""
    model = pipe.transformer
    yield lambda: model.set_adapters(["second"])
    yield lambda: model.set_adapters(["first", "second"], [0.5, 0.5])
    yield model.disable_lora
    yield model.enable_lora
    yield lambda: model.delete_adapters(["second"])
    yield pipe.fuse_lora
    yield pipe.unfuse_lora


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")  # which is the point
def test_adapters_that_change_between_runs():
    pipe, fresh = with_lora(("first", "second")), with_lora(("first", "second"))
    seen = []
    with lesa.accelerate(pipe, config()) as session:
        GUIDED.generate(pipe)
        for change, same in zip(changes(pipe), changes(fresh), strict=True):
            change()
            same()
            latents = GUIDED.generate(pipe)
            assert session.report.plan() == EIGHT
            assert not session.report.fallbacks
            with lesa.accelerate(fresh, config()):
                assert torch.equal(latents, GUIDED.generate(fresh))
            seen.append(latents)
    assert all(not torch.equal(one, two) for one, two in pairwise(seen[:6]))
    assert torch.equal(GUIDED.generate(pipe), GUIDED.generate(fresh))


def test_an_adapter_that_is_added_while_attached():
    pipe, fresh = pipeline_of(GUIDED), with_lora()
    with lesa.accelerate(pipe, config()):
        GUIDED.generate(pipe)
        from peft import LoraConfig

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            pipe.transformer.add_adapter(
                LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v"]), "first"
            )
        latents = GUIDED.generate(pipe)
        with lesa.accelerate(fresh, config()):
            assert torch.equal(latents, GUIDED.generate(fresh))
    assert trace(pipe.transformer)[1:3] == trace(fresh.transformer)[1:3]


# PyTorch's own quantisation, which it wants to move to torchao some day.
@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")
@pytest.mark.parametrize("tap", list(lesa.Tap))
def test_an_int8_transformer(tap):
    bare, pipe = pipeline_of(GUIDED), pipeline_of(GUIDED)
    pipe.transformer = torch.ao.quantization.quantize_dynamic(pipe.transformer, {torch.nn.Linear}, dtype=torch.qint8)
    assert not torch.equal(GUIDED.generate(pipe), GUIDED.generate(bare))
    check_pipeline(dataclasses.replace(GUIDED, name="int8"), pipe)
    with lesa.accelerate(pipe, config(backbone={"kind": "auto", "tap": tap})) as session:
        assert GUIDED.generate(pipe).isfinite().all()
    assert session.report.plan("uncond") == EIGHT
