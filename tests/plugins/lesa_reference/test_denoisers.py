"""What is trained must be what the pipeline runs: the same prompt encoding, the same layout, the same time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lesa_reference
from lesa_framework.call_arguments import expanded_call
from lesa_framework.plugin.manager import plugins
from lesa_reference.denoiser import DenoiserTrainer, Examples
from lesa_reference.sizes import HEAD, SIZES, Backbone, Sizes
from lesa_reference.stages import RECIPES

MODELS = Path(lesa_reference.__file__).parent / "models"
PROMPTS = ["a red ring left of a striped blue star on yellow", "a green letter K"]

TINY = {
    Backbone.flux: Sizes(1, 1, 2),
    Backbone.qwen_image: Sizes(1, 2),
    Backbone.hunyuan_video: Sizes(1, 1, 2, 1),
}
#: Beginnings of the names of what no output depends on: the eyes of a language model, what is behind the hidden states
#: that the pipeline takes, and what the last block makes of the text.
UNUSED = {
    Backbone.flux: (),
    Backbone.qwen_image: (
        "text_encoder.model.visual.",
        *(f"transformer.transformer_blocks.1.attn.{name}." for name in ("add_q_proj", "norm_added_q", "to_add_out")),
        "transformer.transformer_blocks.1.txt_mlp.",
    ),
    Backbone.hunyuan_video: ("text_encoder.layers.1.", "text_encoder.layers.2.", "text_encoder.norm."),
}


def trained_little(denoiser: nn.Module) -> nn.Module:
    """Zero-initialised layers would hide what they are given."""
    for parameter in denoiser.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return denoiser.eval()


@pytest.mark.parametrize("backbone", list(Backbone))
@torch.no_grad()
def test_the_training_forward_is_the_pipelines(backbone: Backbone) -> None:
    recipe = RECIPES[backbone]
    torch.manual_seed(0)
    denoiser = trained_little(recipe.denoiser(TINY[backbone]))
    pipe = denoiser.pipeline(recipe.codec.new())
    pipe.set_progress_bar_config(disable=True)
    seen: list[tuple[Tensor, Tensor]] = []

    def watch(module: nn.Module, args: Any, kwargs: dict[str, Any], output: tuple[Tensor]) -> None:
        seen.append((kwargs["hidden_states"], output[0]))

    handle = pipe.transformer.register_forward_hook(watch, with_kwargs=True)
    call = dict(plugins().registry.models.get(f"reference:{backbone}").call)
    pipe(PROMPTS, num_inference_steps=2, output_type="latent", **expanded_call(call, 2))
    handle.remove()
    packed, velocity = seen[0]
    latents = unpacked(packed, backbone)
    assert torch.equal(denoiser.pack(latents), packed)
    mine = denoiser(latents, torch.ones(2), denoiser.tokens(PROMPTS))
    assert torch.allclose(mine, velocity, atol=1e-5), (mine - velocity).abs().max()


def unpacked(packed: Tensor, backbone: Backbone) -> Tensor:
    if backbone is Backbone.hunyuan_video:
        return packed
    latents = packed.view(2, 8, 8, 8, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(2, 8, 16, 16)
    return latents[:, :, None] if backbone is Backbone.qwen_image else latents


@pytest.mark.parametrize("backbone", list(Backbone))
def test_training_steps_reach_every_part_that_is_used(backbone: Backbone) -> None:
    recipe = RECIPES[backbone]
    torch.manual_seed(0)
    shape = {Backbone.flux: (8, 16, 16), Backbone.qwen_image: (8, 1, 16, 16), Backbone.hunyuan_video: (12, 3, 12, 12)}
    examples = Examples(torch.randn(4, *shape[backbone]), [*PROMPTS, "", "a red ring"])
    model = trained_little(recipe.denoiser(TINY[backbone]))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    trainer = DenoiserTrainer(model, examples, steps=3, seed=0, batch=2)
    losses = list(trainer.train())
    assert len(losses) == 3
    assert all(loss > 0 for loss in losses)
    still = {
        name
        for name, parameter in model.named_parameters()
        # Weight decay alone moves whatever has a gradient, one of zeros too.
        if torch.equal(before[name], parameter) or not parameter.grad.any()
    }
    assert still == {name for name in before if name.startswith(UNUSED[backbone])}
    assert trainer.average.training is False


@pytest.mark.parametrize("backbone", list(Backbone))
def test_the_sizes_are_read_from_the_weights(backbone: Backbone) -> None:
    weights = RECIPES[backbone].denoiser(TINY[backbone]).state_dict()
    assert Sizes.of(weights) == TINY[backbone]


@pytest.mark.parametrize("backbone", list(Backbone))
def test_the_described_sizes_are_those_of_the_bundled_models(backbone: Backbone) -> None:
    config = json.loads((MODELS / backbone / "transformer" / "config.json").read_text())
    assert config["attention_head_dim"] == HEAD
    assert SIZES[backbone] == Sizes(
        config["num_attention_heads"],
        config["num_layers"],
        config.get("num_single_layers", 0),
        config.get("num_refiner_layers", 0),
    )
