"""Runs vLLM-Omni's own Qwen-Image and Wan with the door's adapters, on a CPU; prints what happened as JSON.

Real: the classes, tiny and random. Not real: attention, as in `installed.py`, and the sampler.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from installed import context, start
from torch import Tensor, nn
from vllm_omni.diffusion.data import OmniDiffusionConfig, TransformerConfig
from vllm_omni.diffusion.models.qwen_image.qwen_image_transformer import QwenImageTransformer2DModel
from vllm_omni.diffusion.models.wan2_2.wan2_2_transformer import WanTransformer3DModel

import lesa_framework as lesa
from lesa_vllm_omni import adapters

STEPS = 12
GRID = tuple(1 - step / STEPS for step in range(STEPS + 1))
ALWAYS = {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}
SIZES = {"num_attention_heads": 2, "num_layers": 2}


def qwen_image(config: OmniDiffusionConfig) -> tuple[nn.Module, tuple[int, ...], float, dict[str, Any]]:
    sizes = {"in_channels": 16, "out_channels": 4, "attention_head_dim": 16, "joint_attention_dim": 24}
    model = QwenImageTransformer2DModel(config, axes_dims_rope=(4, 6, 6), **sizes, **SIZES)
    prompt = {"encoder_hidden_states": torch.randn(1, 5, 24), "txt_seq_lens": [5]}
    return model, (1, 16, 16), 1.0, {**prompt, "img_shapes": [[(1, 4, 4)]]}


def wan() -> tuple[nn.Module, tuple[int, ...], float, dict[str, Any]]:
    sizes = {"in_channels": 4, "out_channels": 4, "attention_head_dim": 24, "text_dim": 16}
    model = WanTransformer3DModel(freq_dim=16, ffn_dim=32, **sizes, **SIZES)
    return model, (1, 4, 2, 8, 8), 1000.0, {"encoder_hidden_states": torch.randn(1, 7, 16)}


@torch.no_grad()
def sample(model: nn.Module, shape: tuple[int, ...], unit: float, call: dict[str, Any]) -> Tensor:
    latent = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    for sigma, following in pairwise(GRID):
        velocity = model(hidden_states=latent, timestep=torch.tensor([sigma * unit]), **call)[0]
        latent = latent + (following - sigma) * velocity
    return latent


def tried(model: nn.Module, *run: Any) -> dict[str, Any]:
    model.eval().requires_grad_(False)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    bare, plans, far = sample(model, *run), {}, {}
    with lesa.accelerate(model, ALWAYS, sigmas=GRID) as session:
        is_bare, backbone = torch.equal(sample(model, *run), bare), session.report.info.backbone
    for tap in lesa.Tap:
        with lesa.accelerate(model, speedup=4, sigmas=GRID, backbone={"tap": str(tap)}) as session:
            far[str(tap)] = float((sample(model, *run) - bare).norm() / bare.norm())
            plans[str(tap)] = session.report.plan()
    is_bare = is_bare and torch.equal(sample(model, *run), bare)
    return {"backbone": backbone, "is_bare": is_bare, "plans": plans, "far": far}


if __name__ == "__main__":
    start()
    lesa.add_plugin("lesa_vllm_omni", adapters)
    config = OmniDiffusionConfig(model=str(Path(__file__).parent), enforce_eager=True)
    config.tf_model_config = TransformerConfig(params={"num_layers": SIZES["num_layers"]})
    torch.manual_seed(0)
    with context(config):
        print("RESULT", json.dumps({"wan": tried(*wan()), "qwen_image": tried(*qwen_image(config))}))
