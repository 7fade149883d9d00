"""Pipelines whose samplers do not count from `num_train_timesteps` to 0."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from tests.matrix.case import noise, tiny
from tests.matrix.samplers import SAMPLERS, Sampler, quiet, shipped
from tests.pipelines.case import PipelineCase, lively
from tests.pipelines.parts import NAMELESS, mask, new, run, words


# ------------------------------------------------------------------------------------------------ Sana-Sprint
def sana_sprint(name: str = "SanaSprintPipeline") -> Any:
    """A model that was distilled with guidance, and angles for timesteps."""
    transformer = tiny(
        "SanaTransformer2DModel",
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=4,
        guidance_embeds=True,
    )()
    return new(name, "SCMScheduler", ("vae", "text_encoder", "tokenizer"), transformer=transformer)


SPRINT = {
    "height": 128,
    "width": 128,
    "prompt_embeds": words(1),
    "prompt_attention_mask": mask(),
    "use_resolution_binning": False,
    "intermediate_timesteps": None,
}


# ------------------------------------------------------------------------------------------------ Stable Audio
def stable_audio(scheduler: Any) -> Any:
    """Stable Audio with a sampler."""
    from diffusers import StableAudioProjectionModel

    pipe = new(
        "StableAudioPipeline",
        scheduler,
        ("text_encoder", "tokenizer", "vae"),
        projection_model=lively(StableAudioProjectionModel(8, 8, 0, 8)),
        transformer=tiny(
            "StableAudioDiTModel",
            sample_size=8,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            num_key_value_attention_heads=2,
            cross_attention_dim=16,
            cross_attention_input_dim=8,
            time_proj_dim=8,
            global_states_input_dim=16,
        )(),
    )
    pipe.vae = SimpleNamespace(hop_length=1, config=SimpleNamespace(sampling_rate=8, audio_channels=1))
    return pipe


AUDIO = {"prompt_embeds": noise((1, 3, 8), 1), "negative_prompt_embeds": noise((1, 3, 8), 2), "audio_end_in_s": 1.0,
         "attention_mask": torch.ones(1, 3, dtype=torch.long)}  # fmt: skip


# ------------------------------------------------------------------------------------------------ Cosmos
class Harmless:
    """In place of the safety checker, which is a large model."""

    def to(self, device: object) -> Harmless:
        """Nothing to move."""
        return self


class Scale(nn.Module):
    """The numbers that a pipeline reads from its decoder."""

    device, dtype = torch.device("cpu"), torch.float32
    temperal_downsample = (False, True, True)
    config = SimpleNamespace(latents_mean=[0.0] * 4, latents_std=[1.0] * 4, z_dim=4)


def cosmos(module: str, name: str, sampler: Sampler, **settings: Any) -> Any:
    """A pipeline of Cosmos with its sampler; those of Cosmos 2.5 read the decoder's numbers."""
    with quiet():
        pipeline = getattr(import_module(f"diffusers.pipelines.cosmos.{module}"), name)
        return pipeline(
            text_encoder=None,
            tokenizer=None,
            transformer=tiny("CosmosTransformer3DModel", **{**COSMOS, **settings})(),
            vae=Scale() if settings else None,
            scheduler=sampler.make()[0],
            safety_checker=Harmless(),
        )


COSMOS = {
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "text_embed_dim": 16,
    "adaln_lora_dim": 4,
    "max_size": (4, 16, 16),
    "concat_padding_mask": False,
}
FLOW, _, KARRAS = (sampler for sampler in SAMPLERS if sampler.settings)
PROMPTS = {"prompt_embeds": words(1), "negative_prompt_embeds": words(2), "height": 64, "width": 64}

CASES = (
    PipelineCase(
        "cosmos",
        "cosmos",
        lambda: cosmos("pipeline_cosmos_text2world", "CosmosTextToWorldPipeline", Sampler("EDMEulerScheduler")),
        lambda pipe: run(pipe, num_frames=9, **PROMPTS),
        NAMELESS,
    ),
    PipelineCase(
        "cosmos_2",
        "cosmos",
        lambda: cosmos("pipeline_cosmos2_text2image", "Cosmos2TextToImagePipeline", KARRAS),
        lambda pipe: run(pipe, **PROMPTS),
        NAMELESS,
    ),
    PipelineCase(
        "cosmos_2.5",
        "cosmos",
        lambda: cosmos("pipeline_cosmos2_5_predict", "Cosmos2_5_PredictBasePipeline", FLOW, in_channels=5),
        lambda pipe: run(pipe, num_frames=1, **PROMPTS),
        NAMELESS,
    ),
    PipelineCase("sana_sprint", "sana", sana_sprint, lambda pipe: run(pipe, **SPRINT)),
    PipelineCase(
        "stable_audio_cosine",
        "stable_audio",
        lambda: stable_audio(shipped()["CosineDPMSolverMultistepScheduler"]()),
        lambda pipe: run(pipe, **AUDIO),
    ),
    PipelineCase(
        "stable_audio_edm",
        "stable_audio",
        lambda: stable_audio("EDMDPMSolverMultistepScheduler"),
        lambda pipe: run(pipe, **AUDIO),
    ),
)
