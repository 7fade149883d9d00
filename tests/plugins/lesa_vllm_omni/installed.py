"""Runs the door in the installed vLLM-Omni, on a CPU and without an engine; prints what happened as JSON.

Real: the plugin loader, the selector, the base class, the runner's refresh, the native FLUX, tiny and random, and its
pipeline's denoising loop. Not real: the pipeline's other parts; and attention, which has no code for CPUs there and
takes torch's own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29612", RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")

from vllm_omni.plugins import load_omni_general_plugins

load_omni_general_plugins()

import torch  # noqa: E402
from diffusers import FlowMatchEulerDiscreteScheduler  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from vllm.config import DeviceConfig, VllmConfig, set_current_vllm_config  # noqa: E402
from vllm_omni.diffusion.attention.backends.sdpa import SDPABackend, SDPAImpl  # noqa: E402
from vllm_omni.diffusion.cache.base import CacheBackend  # noqa: E402
from vllm_omni.diffusion.data import OmniDiffusionConfig, TransformerConfig  # noqa: E402
from vllm_omni.diffusion.distributed import parallel_state  # noqa: E402
from vllm_omni.diffusion.forward_context import set_forward_context  # noqa: E402
from vllm_omni.diffusion.models.flux.flux_transformer import FluxTransformer2DModel  # noqa: E402
from vllm_omni.diffusion.models.flux.pipeline_flux import FluxPipeline  # noqa: E402
from vllm_omni.diffusion.worker import diffusion_model_runner  # noqa: E402
from vllm_omni.platforms import current_omni_platform  # noqa: E402

TOKENS, WORDS = 16, 5


class Pipeline(FluxPipeline):
    """The native pipeline without text encoders and decoder."""

    def __init__(self, config: OmniDiffusionConfig) -> None:
        torch.nn.Module.__init__(self)
        torch.manual_seed(0)
        self.transformer = FluxTransformer2DModel(
            config,
            in_channels=32,
            num_single_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=96,
            pooled_projection_dim=64,
            guidance_embeds=False,
            axes_dims_rope=(2, 2, 4),
        ).eval()
        for parameter in self.transformer.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        self.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        self._interrupt, self._joint_attention_kwargs = False, {}

    def forward(self, num_steps: int) -> torch.Tensor:
        self.scheduler.set_timesteps(num_steps, device="cpu")
        generator = torch.Generator().manual_seed(0)

        def new(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator)

        return self.diffuse(
            prompt_embeds=new(1, WORDS, 96),
            pooled_prompt_embeds=new(1, 64),
            negative_prompt_embeds=new(1, WORDS, 96),
            negative_pooled_prompt_embeds=new(1, 64),
            latents=new(1, TOKENS, 32),
            latent_image_ids=torch.zeros(TOKENS, 3),
            text_ids=torch.zeros(WORDS, 3),
            negative_text_ids=torch.zeros(WORDS, 3),
            timesteps=self.scheduler.timesteps,
            do_true_cfg=True,
            guidance=None,
            true_cfg_scale=3.0,
        )


def execute(runner: Any, num_steps: int) -> torch.Tensor:
    """What the runner does for a request."""
    request = SimpleNamespace(sampling_params=SimpleNamespace(num_inference_steps=num_steps))
    with torch.inference_mode():
        runner._refresh_cache_for_requests([request], od_config=runner.od_config)
        return runner.pipeline.forward(num_steps).clone()


def run(cache_config: str, folder: str = "") -> dict[str, Any]:
    config = OmniDiffusionConfig(
        model=str(Path(__file__).parent),
        cache_backend="lesa",
        cache_config=json.loads(cache_config),
        enforce_eager=True,
    )
    config.tf_model_config = TransformerConfig(params={"num_layers": 1})
    with context(config):
        runner = object.__new__(diffusion_model_runner.DiffusionModelRunner)
        runner.pipeline, runner.od_config, runner.cache_backend = Pipeline(config), config, None
        if folder:
            weights = load_file(f"{folder}/transformer/diffusion_pytorch_model.safetensors")
            runner.pipeline.transformer.load_weights(weights.items())
        bare = execute(runner, 12)
        runner.cache_backend = diffusion_model_runner.get_cache_backend(config.cache_backend, config.cache_config)
        runner.cache_backend.enable(runner.pipeline)
        first = execute(runner, 12)
        session = runner.cache_backend.session
        report, plans = session.report, []
        for num_steps in (12, 20):
            again = execute(runner, num_steps)
            plans.append(sorted({session.report.plan(branch) for branch in session.report.branches}))
            if num_steps == 12:
                is_again = torch.equal(again, first)
        return {
            "is_theirs": isinstance(runner.cache_backend, CacheBackend),
            "backbone": report.info.backbone,
            "branches": len(report.branches),
            "plans": plans,
            "again": is_again,
            "latents": first.flatten().tolist(),
            "is_bare": torch.equal(first, bare),
        }


def start() -> None:
    """What a worker does before it loads a model, and attention for CPUs."""
    path = f"{SDPABackend.__module__}.{SDPABackend.__name__}"
    type(current_omni_platform).get_diffusion_attn_backend_cls = classmethod(lambda *_, **__: path)
    SDPAImpl.forward = SDPAImpl.forward_cuda
    torch.distributed.init_process_group("gloo")
    parallel_state.init_distributed_environment(1, 0, "env://", 0, "gloo")
    parallel_state.initialize_model_parallel(backend="gloo")


@contextmanager
def context(config: OmniDiffusionConfig) -> Iterator[None]:
    """What a worker is in while it loads and runs."""
    engine = VllmConfig(device_config=DeviceConfig(device="cpu"))
    with set_current_vllm_config(engine), set_forward_context(vllm_config=engine, omni_diffusion_config=config):
        yield


if __name__ == "__main__":
    start()
    print("RESULT", json.dumps(run(*sys.argv[1:])))
