"""How many samples a plan is for: as many as the call has prompts, or embeddings of prompts."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import ConfigError
from tests.pipelines.parts import MODELS, new, run
from tests.pipelines.videos import PROMPTS, SIZE, new_wan
from tests.sizing.test_foresee import SMALL, config


def test_embeddings_say_themselves_how_many_samples_there_are():
    """So `batch`, which was passed over, is refused beside them; what the message names in its place is right."""
    pipe, call = new_wan(second=False), {**PROMPTS, **SIZE}
    with lesa.accelerate(pipe, config()) as session:
        with pytest.raises(ConfigError, match=r"`batch` is 4, .*`prompt_embeds`.* or num_videos_per_prompt=4\."):
            session.plan(8, batch=4, call=call)
        one, four = session.plan(8, call=call), session.plan(8, call={**call, "num_videos_per_prompt": 4})
        many = session.plan(8, call={**SIZE, **{name: each.repeat(4, 1, 1) for name, each in PROMPTS.items()}})
        run(pipe, **call, num_videos_per_prompt=4)
        assert session.report.cache_bytes == four.cache_bytes == many.cache_bytes == 4 * one.cache_bytes > 0


def test_embeddings_with_a_suffix_say_so_too():
    """Kandinsky 5's were passed over: a prompt was put beside them, and its plan was that of one sample."""
    encoders = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    pipe = new("Kandinsky5T2VPipeline", "FlowMatchEulerDiscreteScheduler", encoders, transformer=MODELS["kandinsky5"]())
    size = {"height": 32, "width": 32, "num_frames": 5, "guidance_scale": 1.0}

    def call(count):
        words, ends = torch.zeros(count, 3, 16), 3 * torch.arange(count + 1)
        pooled = torch.zeros(count, 8)
        return {**size, "prompt_embeds_qwen": words, "prompt_embeds_clip": pooled, "prompt_cu_seqlens": ends}

    with lesa.accelerate(pipe, config("output")) as session:
        with pytest.raises(ConfigError, match=r"`batch` is 4, .*`prompt_embeds_clip`.* the embeddings of 4 prompts"):
            session.plan(8, batch=4, call=call(1))
        one, four = session.plan(8, call=call(1)), session.plan(8, call=call(4))
        run(pipe, **call(4))
        assert session.report.cache_bytes == four.cache_bytes == 4 * one.cache_bytes > 0


def test_prompts_of_the_call_s_own_say_how_many_there_are(make_flux):
    """`batch` was passed over beside them too."""
    with lesa.accelerate(make_flux(), config()) as session:

        def plan(batch=1, **prompt):
            return session.plan(12, batch=batch, **{**SMALL, "call": {**SMALL["call"], **prompt}})

        with pytest.raises(ConfigError, match=r"`batch` is 3, .*`prompt` in.* give 3 prompts, or num_images_per"):
            plan(batch=3, prompt="a cat")
        own, one = plan(prompt=["a cat", "a dog", "an owl"]), plan(prompt="a cat")
        assert own.cache_bytes == plan(batch=3).cache_bytes == 3 * one.cache_bytes > 0
