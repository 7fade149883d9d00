"""Image models with text and image in one attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lesa_diffusers import joint
from tests.matrix.case import Case, latents, level, noise, tiny

FLUX_LIKE = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 16,
}
COGVIEW = {
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "text_embed_dim": 16,
    "time_embed_dim": 16,
    "condition_dim": 4,
    "sample_size": 8,
}
SIZES = torch.tensor([[16.0, 16.0]])


def call_flux_like(model: nn.Module, latent: Tensor, sigma: float, prompt: int, scale: float = 1.0) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        timestep=level(latent, sigma * scale),
        img_ids=torch.zeros(tokens, 3),
        txt_ids=torch.zeros(3, 3),
        return_dict=False,
    )[0]


def call_flux2(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        timestep=level(latent, sigma),
        img_ids=torch.zeros(tokens, 4),
        txt_ids=torch.zeros(3, 4),
        guidance=level(latent, 4.0),
        return_dict=False,
    )[0]


def call_bria(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return call_flux_like(model, latent, sigma, prompt, 1000)


def call_bria_fibo(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        text_encoder_layers=[noise((batch, 3, 8), prompt + layer) for layer in range(3)],
        timestep=level(latent, sigma * 1000),
        img_ids=torch.zeros(tokens, 3),
        txt_ids=torch.zeros(3, 3),
        return_dict=False,
    )[0]


def call_sd3(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        pooled_projections=noise((batch, 8), prompt),
        timestep=level(latent, sigma * 1000),
        return_dict=False,
    )[0]


def call_hunyuan_image(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        hidden_states=latent,
        timestep=level(latent, sigma * 1000),
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        encoder_attention_mask=torch.ones(batch, 3),
        return_dict=False,
    )[0]


def call_aura_flow(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((latent.shape[0], 3, 16), prompt),
        timestep=level(latent, sigma),
        return_dict=False,
    )[0]


def call_cogview(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        timestep=level(latent, sigma * 1000),
        original_size=SIZES.expand(batch, 2),
        target_size=SIZES.expand(batch, 2),
        crop_coords=torch.zeros(batch, 2),
        return_dict=False,
    )[0]


def call_hidream(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch = latent.shape[0]
    return model(
        hidden_states=latent,
        timesteps=level(latent, sigma * 1000),
        encoder_hidden_states_t5=noise((batch, 3, 16), prompt),
        encoder_hidden_states_llama3=noise((2, batch, 3, 16), prompt),
        pooled_embeds=noise((batch, 8), prompt),
        return_dict=False,
    )[0]


def call_glm_image(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, _, height, width = latent.shape
    tokens = height * width // 4
    return model(
        hidden_states=latent,
        encoder_hidden_states=noise((batch, 3, 16), prompt),
        prior_token_id=torch.arange(tokens).expand(batch, tokens),
        prior_token_drop=torch.zeros(batch, tokens, dtype=torch.bool),
        timestep=level(latent, sigma * 1000 - 1),
        target_size=SIZES.expand(batch, 2),
        crop_coords=torch.zeros(batch, 2),
        return_dict=False,
    )[0]


def call_nucleus(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    batch, tokens = latent.shape[:2]
    return model(
        latent,
        [(1, 2, tokens // 2)] * batch,
        noise((batch, 3, 16), prompt),
        timestep=level(latent, sigma),
        return_dict=False,
    )[0]


def call_joyimage(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
    return model(latent, level(latent, sigma * 1000), noise((latent.shape[0], 3, 16), prompt), return_dict=False)[0]


ROPE = {"axes_dims_rope": (2, 2, 4)}
CASES = (
    Case(
        "flux2",
        joint.Flux2Adapter,
        tiny("Flux2Transformer2DModel", **FLUX_LIKE, axes_dims_rope=(2, 2, 2, 2), timestep_guidance_channels=8),
        call_flux2,
        latents(1, 4, 16),
    ),
    Case(
        "chroma",
        joint.ChromaAdapter,
        tiny(
            "ChromaTransformer2DModel",
            **FLUX_LIKE,
            **ROPE,
            approximator_num_channels=8,
            approximator_hidden_dim=16,
            approximator_layers=1,
        ),
        call_flux_like,
        latents(1, 4, 16),
    ),
    Case(
        "sd3",
        joint.SD3Adapter,
        tiny(
            "SD3Transformer2DModel",
            sample_size=8,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            caption_projection_dim=16,
            pooled_projection_dim=8,
            pos_embed_max_size=8,
        ),
        call_sd3,
        latents(1, 4, 4, 4),
    ),
    Case(
        "hunyuan_image",
        joint.HunyuanImageAdapter,
        tiny(
            "HunyuanImageTransformer2DModel",
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            text_embed_dim=16,
            rope_axes_dim=(4, 4),
        ),
        call_hunyuan_image,
        latents(1, 4, 4, 4),
    ),
    Case(
        "aura_flow",
        joint.AuraFlowAdapter,
        tiny(
            "AuraFlowTransformer2DModel",
            sample_size=8,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            caption_projection_dim=16,
            pos_embed_max_size=64,
        ),
        call_aura_flow,
        latents(1, 4, 4, 4),
    ),
    Case(
        "cogview3plus",
        joint.CogView3PlusAdapter,
        tiny("CogView3PlusTransformer2DModel", **COGVIEW, pos_embed_max_size=8),
        call_cogview,
        latents(1, 4, 4, 4),
    ),
    Case(
        "cogview4",
        joint.CogView4Adapter,
        tiny("CogView4Transformer2DModel", **COGVIEW, rope_axes_dim=(8, 8)),
        call_cogview,
        latents(1, 4, 4, 4),
    ),
    Case(
        "hidream_image",
        joint.HiDreamAdapter,
        tiny(
            "HiDreamImageTransformer2DModel",
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_channels=[16, 16],
            text_emb_dim=8,
            num_routed_experts=2,
            num_activated_experts=1,
            axes_dims_rope=(4, 2, 2),
            max_resolution=(8, 8),
            llama_layers=[0, 1],
            force_inference_output=True,
        ),
        call_hidream,
        latents(1, 4, 4, 4),
    ),
    Case("bria", joint.BriaAdapter, tiny("BriaTransformer2DModel", **FLUX_LIKE, **ROPE), call_bria, latents(1, 4, 16)),
    Case(
        "bria_fibo",
        joint.BriaFiboAdapter,
        tiny("BriaFiboTransformer2DModel", **FLUX_LIKE, **ROPE, text_encoder_dim=8),
        call_bria_fibo,
        latents(1, 4, 16),
    ),
    Case(
        "longcat_image",
        joint.LongCatImageAdapter,
        tiny("LongCatImageTransformer2DModel", **FLUX_LIKE, **ROPE, pooled_projection_dim=8),
        call_flux_like,
        latents(1, 4, 16),
    ),
    Case(
        "ovis_image",
        joint.OvisImageAdapter,
        tiny("OvisImageTransformer2DModel", **FLUX_LIKE, **ROPE, out_channels=16),
        call_flux_like,
        latents(1, 4, 16),
    ),
    Case(
        "glm_image",
        joint.GlmImageAdapter,
        tiny(
            "GlmImageTransformer2DModel",
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            text_embed_dim=16,
            time_embed_dim=16,
            condition_dim=4,
            prior_vq_quantizer_codebook_size=32,
        ),
        call_glm_image,
        latents(1, 4, 4, 4),
    ),
    Case(
        "nucleus_moe_image",
        joint.NucleusMoEImageAdapter,
        tiny(
            "NucleusMoEImageTransformer2DModel",
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            num_key_value_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(2, 2, 4),
            mlp_ratio=16.0,
            moe_enabled=False,
            capacity_factors=[1.0, 1.0],
        ),
        call_nucleus,
        latents(1, 4, 16),
    ),
    Case(
        "joyimage_edit",
        joint.JoyImageEditAdapter,
        tiny(
            "JoyImageEditTransformer3DModel",
            in_channels=4,
            hidden_size=16,
            num_attention_heads=2,
            text_dim=16,
            num_layers=2,
            rope_dim_list=[2, 2, 4],
        ),
        call_joyimage,
        latents(1, 4, 1, 4, 4),
    ),
)
