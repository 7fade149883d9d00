"""What users add to a model or change in it, and whether its description, by which weights are found, stays."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("diffusers")

import torch
from torch import nn

from lesa_framework.model_info import ModelInfo, describe_model
from tests.matrix.cases import CASES

BY_KIND = {case.kind: case for case in CASES}
#: Models whose `fuse_qkv_projections` does something.
FUSING = (
    "aura_flow", "chroma", "chrono_edit", "cogvideox", "flux", "flux2", "helios", "hunyuan_dit", "krea2",
    "longcat_image", "ltx", "motif_video", "pixart", "qwen_image21", "sd3", "skyreels_v2", "wan", "wan_animate",
    "wan_vace",
)  # fmt: skip


def described(kind: str, model: nn.Module) -> ModelInfo:
    return describe_model(model, BY_KIND[kind].adapter.blocks)


def with_lora(**options: Any) -> Any:
    """FLUX with a LoRA of random numbers."""
    from peft import LoraConfig

    model: Any = BY_KIND["flux"].make_model()
    config = LoraConfig(r=2, **{"target_modules": ["to_q", "proj_out"], "init_lora_weights": False, **options})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model.add_adapter(config, adapter_name="first")
    return model


@pytest.fixture(scope="module")
def bare() -> ModelInfo:
    """FLUX without a LoRA."""
    return described("flux", BY_KIND["flux"].make_model())


@pytest.mark.filterwarnings("ignore:.FluxPosEmbed. is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", FUSING)
def test_fused_projections_are_the_same_weights(kind):
    model: Any = BY_KIND[kind].make_model()
    found, count = described(kind, model), len(list(model.parameters()))
    model.fuse_qkv_projections()
    assert len(list(model.parameters())) > count
    assert described(kind, model) == found


def test_projections_that_a_model_has_fused_from_the_start_are_its_own():
    model = nn.ModuleDict({"attn": nn.ModuleDict({name: nn.Linear(2, 2) for name in ("to_q", "to_k", "to_v")})})
    found = describe_model(model, ())
    model["attn"]["to_qkv"] = nn.Linear(2, 6)
    assert describe_model(model, ()).names != found.names


def test_a_lora_on_the_fused_copies_is_seen(bare):
    from peft import LoraConfig

    model: Any = BY_KIND["flux"].make_model()
    model.fuse_qkv_projections()
    model.add_adapter(LoraConfig(r=2, target_modules=["to_qkv"], init_lora_weights=False))
    assert described("flux", model).names != bare.names
    model.disable_lora()
    assert described("flux", model) == bare


@pytest.mark.parametrize(
    ("off", "on"),
    [
        (lambda model: model.disable_lora(), lambda model: model.enable_lora()),
        (lambda model: model.set_adapters("first", 0.0), lambda model: model.set_adapters("first", 1.0)),
    ],
    ids=["disabled", "scaled by 0"],
)
def test_a_lora_that_is_off_is_the_same_weights(off, on, bare):
    model = with_lora()
    assert not described("flux", model).may_have_weights_of(bare)
    off(model)
    assert described("flux", model) == bare
    on(model)
    assert not described("flux", model).may_have_weights_of(bare)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")  # which is the point
def test_one_of_two_loras_is_off(bare):
    from peft import LoraConfig

    model = with_lora()
    model.add_adapter(LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False), adapter_name="second")
    model.set_adapters(["first", "second"], [0.0, 1.0])
    assert not described("flux", model).may_have_weights_of(bare)
    model.set_adapters(["first", "second"], [0.0, 0.0])
    assert described("flux", model) == bare


def test_a_lora_that_scales_columns_is_no_less_there_for_a_scale_of_0(bare):
    model = with_lora(use_dora=True)
    model.set_adapters("first", 0.0)
    assert not described("flux", model).may_have_weights_of(bare)
    model.disable_lora()
    assert described("flux", model) == bare


def test_a_lora_that_is_in_the_weights_is_seen_until_it_is_taken_out(bare):
    model = with_lora()
    model.fuse_lora()
    model.disable_lora()
    assert not described("flux", model).may_have_weights_of(bare)
    model.unfuse_lora()
    assert described("flux", model).may_have_weights_of(bare)


def test_another_model_below_a_lora_that_is_off_is_seen(bare):
    model = with_lora()
    model.disable_lora()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    found = described("flux", model)
    assert found.names == bare.names
    assert not found.may_have_weights_of(bare)
