from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from lesa_framework.model_info import ModelInfo, describe_model
from lesa_framework.testing import TinyDiT


def describe(model: nn.Module) -> ModelInfo:
    return describe_model(model, ("transformer_blocks",))


def fused(model: nn.Module, share: float, *paths: str) -> nn.Module:
    """Adds a rank-1 change to some matrices, of the given size relative to their numbers."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for path in paths:
            weight = model.get_parameter(path)
            rows, columns = (torch.randn(size, generator=random) for size in weight.shape)
            weight.add_(share * weight.std() * torch.outer(rows, columns))
    return model


def test_what_is_seen_of_a_model():
    found = describe(TinyDiT(width=16, layers=3))
    assert found.classes == ("TinyDiT",)
    assert (found.blocks, found.width) == ((3,), 16)
    assert str(found) == "TinyDiT, 16 wide, with 3 blocks"
    assert 0 < len(found.sample) <= 256
    assert None not in found.sample


def test_bases_are_named_up_to_the_module():
    class Sharded(TinyDiT):
        pass

    found = describe(Sharded())
    assert found.classes == ("Sharded", "TinyDiT")
    assert found.is_of_kind(describe(TinyDiT()))
    assert describe(TinyDiT()).is_of_kind(found)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_casts_are_the_same_weights(dtype):
    found = describe(TinyDiT())
    cast = describe(TinyDiT().to(dtype))
    assert found.may_have_weights_of(cast)
    assert cast.may_have_weights_of(found)
    assert cast.may_have_weights_of(describe(TinyDiT().to(torch.bfloat16)))
    assert replace(cast, sample=()) == replace(found, sample=())


def test_other_layouts_in_memory_are_the_same_weights():
    model = TinyDiT()
    found = describe(model)
    for parameter in model.parameters():
        parameter.data = torch.stack([parameter.data, parameter.data], dim=-1)[..., 0]
    assert describe(model) == found


def test_other_weights_are_seen():
    found = describe(TinyDiT())
    assert found.is_of_kind(describe(TinyDiT(seed=1)))
    assert not found.may_have_weights_of(describe(TinyDiT(seed=1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [0.05, 1.0])
def test_a_fused_lora_is_seen(share, dtype):
    model = TinyDiT(layers=6)
    matrices = [
        name
        for name, weight in model.transformer_blocks.named_parameters(prefix="transformer_blocks")
        if weight.ndim > 1
    ]
    changed = describe(fused(TinyDiT(layers=6), share, *matrices).to(dtype))
    assert not describe(model).may_have_weights_of(changed)


def test_an_attached_lora_is_seen():
    model = TinyDiT()
    found = describe(model)
    model.transformer_blocks[0].register_parameter("lora", nn.Parameter(torch.zeros(2, 2)))
    assert found.is_of_kind(describe(model))
    assert not found.may_have_weights_of(describe(model))


def test_blocks_that_were_compiled_are_the_same():
    model = TinyDiT()
    found = describe(model)
    for number, block in enumerate(model.transformer_blocks):
        wrapper = nn.Module()
        wrapper._orig_mod = block
        model.transformer_blocks[number] = wrapper
    assert describe(model) == found


class Packed(nn.Parameter):
    """A quantiser's own parameter, which must not be read."""

    def detach(self):
        raise AssertionError("it was read")


def offloaded(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(parameter.detach().to("meta"), requires_grad=False)


def packed(parameter: nn.Parameter) -> nn.Parameter:
    return Packed(parameter.detach().clone(), requires_grad=False)


def in_bytes(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.zeros(parameter.numel() // 2, 1, dtype=torch.uint8), requires_grad=False)


def coarse(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(parameter.detach().to(torch.float8_e4m3fn), requires_grad=False)


def empty(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(parameter.detach()[:0], requires_grad=False)


def freed(parameter: nn.Parameter) -> nn.Parameter:
    held = parameter.detach().clone()
    held.untyped_storage().resize_(0)
    return nn.Parameter(held, requires_grad=False)


@pytest.mark.parametrize("change", [offloaded, packed, in_bytes, coarse, empty, freed])
def test_what_cannot_be_read_is_unknown(change):
    model = TinyDiT()
    found = describe(model)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, change(parameter))
    seen = describe(model)
    assert set(seen.sample) == {None}
    assert len(seen.sample) == len(found.sample)
    assert seen.width == (None if change is in_bytes else found.width)
    assert found.may_have_weights_of(seen)
    assert found.is_of_kind(seen)


def test_numbers_that_are_not_finite_are_unknown():
    model = TinyDiT()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.inf)
    assert set(describe(model).sample) == {None}


def test_numbers_between_what_can_be_read_are_compared():
    model, other = TinyDiT(), TinyDiT(seed=1)
    model.transformer_blocks[0] = model.transformer_blocks[0].to("meta")
    found = describe(model)
    assert 0 < sum(number is None for number in found.sample) < len(found.sample)
    assert not found.may_have_weights_of(describe(other))
    assert found.may_have_weights_of(describe(TinyDiT()))


def test_a_model_with_thousands_of_parameters_gives_as_small_a_sample():
    model = TinyDiT(layers=100)
    assert len(list(model.parameters())) > 300
    assert len(describe(model).sample) == 256
