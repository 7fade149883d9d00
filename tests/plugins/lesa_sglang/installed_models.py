"""Runs SGLang's own Qwen-Image and Wan with the door's adapters, on a CPU; prints what happened as JSON.

Real: the classes, tiny and random, and the hook that has Qwen-Image call its last norm. Not real: two fused norms,
which on a CPU need a library of SGLang's that is not in its package, and take torch's own here; and the sampler.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import torch
from installed import configuration, start
from sglang.multimodal_gen.configs.models.dits.qwenimage import QwenImageDitConfig
from sglang.multimodal_gen.configs.models.dits.wanvideo import WanVideoConfig
from sglang.multimodal_gen.configs.pipeline_configs.qwen_image import QwenImagePipelineConfig
from sglang.multimodal_gen.runtime.layers import layernorm
from sglang.multimodal_gen.runtime.managers.forward_context import set_forward_context
from sglang.multimodal_gen.runtime.models.dits.qwen_image import QwenImageTransformer2DModel
from sglang.multimodal_gen.runtime.models.dits.wanvideo import WanTransformer3DModel
from torch import Tensor, nn

import lesa_framework as lesa
from lesa_sglang import adapters

STEPS = 12
GRID = tuple(1 - step / STEPS for step in range(STEPS + 1))
ALWAYS = {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}


def scale_shift(self: Any, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    weight, bias = getattr(self.norm, "weight", None), getattr(self.norm, "bias", None)
    shift, scale = (each if each.dim() == x.dim() else each[:, None] for each in (shift, scale))
    return nn.functional.layer_norm(x, x.shape[-1:], weight, bias, 1e-6) * (1 + scale) + shift


def residual_scale_shift(self: Any, residual: Tensor, x: Tensor, gate: Any, shift: Tensor, scale: Tensor) -> Any:
    if isinstance(gate, Tensor):
        x = x * (gate if gate.dim() == x.dim() else gate[:, None])
    return scale_shift(self, residual + x, shift, scale), residual + x


def sized(config: Any, **sizes: Any) -> Any:
    for name, value in sizes.items():
        setattr(config.arch_config, name, value)
    return config


def wan() -> tuple[nn.Module, tuple[int, ...], dict[str, Any]]:
    sizes = {"num_attention_heads": 2, "attention_head_dim": 24, "hidden_size": 48, "ffn_dim": 32, "num_layers": 2}
    channels = {"in_channels": 4, "out_channels": 4, "num_channels_latents": 4, "text_dim": 16, "freq_dim": 16}
    model = WanTransformer3DModel(sized(WanVideoConfig(), **sizes, **channels), {})
    return model, (1, 4, 2, 8, 8), {"encoder_hidden_states": torch.randn(1, 512, 16)}


def qwen_image() -> tuple[nn.Module, tuple[int, ...], dict[str, Any]]:
    sizes = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "axes_dims_rope": (4, 6, 6)}
    channels = {"in_channels": 16, "out_channels": 16, "joint_attention_dim": 24}
    model = QwenImageTransformer2DModel(sized(QwenImageDitConfig(), **sizes, **channels), {})
    shapes, words = [[(1, 4, 4)]], 5
    places, _ = QwenImagePipelineConfig.get_freqs_cis(
        shapes, [words], model.rotary_emb, torch.device("cpu"), torch.float32
    )
    prompt = {"encoder_hidden_states": torch.randn(1, words, 24), "txt_seq_lens": [words]}
    return model, (1, 16, 16), {**prompt, "img_shapes": shapes, "freqs_cis": places}


@torch.no_grad()
def sample(model: nn.Module, shape: tuple[int, ...], call: dict[str, Any]) -> Tensor:
    latent = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    for sigma, following in pairwise(GRID):
        with set_forward_context(current_timestep=0, attn_metadata=None, forward_batch=None):
            velocity = model(hidden_states=latent, timestep=torch.tensor([sigma * 1000]), **call)
        latent = latent + (following - sigma) * velocity
    return latent


def tried(model: nn.Module, shape: tuple[int, ...], call: dict[str, Any]) -> dict[str, Any]:
    model.eval().requires_grad_(False)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    bare, plans, far = sample(model, shape, call), {}, {}
    with lesa.accelerate(model, ALWAYS, sigmas=GRID) as session:
        is_bare, backbone = torch.equal(sample(model, shape, call), bare), session.report.info.backbone
    for tap in lesa.Tap:
        with lesa.accelerate(model, speedup=4, sigmas=GRID, backbone={"tap": str(tap)}) as session:
            far[str(tap)] = float((sample(model, shape, call) - bare).norm() / bare.norm())
            plans[str(tap)] = session.report.plan()
    is_bare = is_bare and torch.equal(sample(model, shape, call), bare)
    return {"backbone": backbone, "is_bare": is_bare, "plans": plans, "far": far}


if __name__ == "__main__":
    start(configuration())
    layernorm._NormScaleShift.forward_cpu = scale_shift
    layernorm._ScaleResidualNormScaleShift.forward_cpu = residual_scale_shift
    lesa.add_plugin("lesa_sglang", adapters)
    torch.manual_seed(0)
    print("RESULT", json.dumps({"wan": tried(*wan()), "qwen_image": tried(*qwen_image())}))
