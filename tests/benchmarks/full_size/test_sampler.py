"""The loop is the pipelines', bit for bit."""

import diffusers
import pytest
import torch

from benchmarks.full_size.cases import CASES, FLUX, HUNYUAN_VIDEO, QWEN_IMAGE, tiny
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.sampler import build_denoiser

STEPS = 3


def _quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _flux(denoiser):
    pipe = _quiet(diffusers.FluxPipeline(denoiser.scheduler, None, None, None, None, None, denoiser.transformer))
    (cond,) = denoiser.branches
    return pipe(
        prompt_embeds=cond["encoder_hidden_states"],
        pooled_prompt_embeds=cond["pooled_projections"],
        latents=denoiser.noise,
        height=64,
        width=64,
        num_inference_steps=STEPS,
        guidance_scale=3.5,
        output_type="latent",
    ).images


def _qwen_image(denoiser):
    pipe = _quiet(diffusers.QwenImagePipeline(denoiser.scheduler, None, None, None, denoiser.transformer))
    cond, uncond = (arguments["encoder_hidden_states"] for arguments in denoiser.branches)
    return pipe(
        prompt_embeds=cond,
        prompt_embeds_mask=torch.ones(cond.shape[:2], dtype=torch.long),
        negative_prompt_embeds=uncond,
        negative_prompt_embeds_mask=torch.ones(uncond.shape[:2], dtype=torch.long),
        latents=denoiser.noise,
        height=80,
        width=80,
        num_inference_steps=STEPS,
        true_cfg_scale=4.0,
        output_type="latent",
    ).images


def _hunyuan_video(denoiser):
    pipe = _quiet(
        diffusers.HunyuanVideoPipeline(None, None, denoiser.transformer, None, denoiser.scheduler, None, None)
    )
    (cond,) = denoiser.branches
    return pipe(
        prompt_embeds=cond["encoder_hidden_states"],
        pooled_prompt_embeds=cond["pooled_projections"],
        prompt_attention_mask=cond["encoder_attention_mask"],
        latents=denoiser.noise,
        height=32,
        width=48,
        num_frames=9,
        num_inference_steps=STEPS,
        guidance_scale=6.0,
        output_type="latent",
    ).frames


@pytest.mark.parametrize(
    ("case", "pipeline"), [(FLUX, _flux), (QWEN_IMAGE, _qwen_image), (HUNYUAN_VIDEO, _hunyuan_video)]
)
def test_a_run_is_the_pipelines(case, pipeline):
    denoiser = build_denoiser(tiny(case), Cpu(torch.bfloat16))
    assert torch.equal(denoiser.run(STEPS), pipeline(denoiser))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_same_seed_gives_the_same_run_in_bfloat16(case):
    first, second, other = (build_denoiser(tiny(case), Cpu(torch.bfloat16), seed).run(STEPS) for seed in (0, 0, 1))
    assert first.dtype == torch.bfloat16
    assert bool(first.isfinite().all())
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_run_can_stop_early():
    denoiser = build_denoiser(tiny(FLUX), Cpu())
    steps = []
    denoiser.transformer.register_forward_pre_hook(lambda *_: steps.append(1))
    denoiser.run(STEPS, stop=2)
    assert len(steps) == 2


def test_positions_in_qwen_image_stay_complex():
    model = build_denoiser(tiny(QWEN_IMAGE), Cpu(torch.bfloat16)).transformer
    assert model.get_submodule("pos_embed").pos_freqs.dtype == torch.complex64
