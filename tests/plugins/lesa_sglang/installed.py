"""Runs the door in the installed SGLang, on a CPU and without a server; prints what happened as JSON.

Real: the plugin loader and the hooks, the loader and the stage of the diffusers backend, the native denoising loop, its
scheduler, and the native FLUX, tiny and random. Not real: the arguments of the server are their defaults, and nothing
is moved between devices.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from dataclasses import MISSING
from types import SimpleNamespace
from typing import Any

os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29611", RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")

from sglang.multimodal_gen.runtime.platforms.plugins import HookRegistry, apply_plugin_hooks

apply_plugin_hooks()

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from sglang.multimodal_gen.configs.models.dits.flux import FluxConfig  # noqa: E402
from sglang.multimodal_gen.configs.pipeline_configs.flux import FluxPipelineConfig  # noqa: E402
from sglang.multimodal_gen.runtime.distributed import parallel_state  # noqa: E402
from sglang.multimodal_gen.runtime.models.dits.flux import FluxTransformer2DModel  # noqa: E402
from sglang.multimodal_gen.runtime.models.schedulers import scheduling_flow_match_euler_discrete  # noqa: E402
from sglang.multimodal_gen.runtime.pipelines.diffusers_pipeline import (  # noqa: E402
    DiffusersExecutionStage,
    DiffusersPipeline,
)
from sglang.multimodal_gen.runtime.pipelines_core.schedule_batch import Req  # noqa: E402
from sglang.multimodal_gen.runtime.pipelines_core.stages import denoising  # noqa: E402
from sglang.multimodal_gen.runtime.server_args import ServerArgs, set_global_server_args  # noqa: E402

TOKENS, WORDS = 16, 5


class Defaults(SimpleNamespace):
    """The server's arguments, as they are when nobody gives any."""

    def __getattr__(self, name: str) -> Any:
        field = ServerArgs.__dataclass_fields__.get(name)
        if field is not None and field.default_factory is not MISSING:
            return field.default_factory()
        found = getattr(ServerArgs, name, None)
        return found.__get__(self) if inspect.isfunction(found) else found


class Stage(denoising.DenoisingStage):
    """Without what moves models between devices."""

    def _manage_dit_use_site(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _finish_active_component_use(self, *args: Any, **kwargs: Any) -> None:
        pass


def configuration() -> FluxConfig:
    config = FluxConfig()
    sizes = {
        "in_channels": 32,
        "num_layers": 1,
        "num_single_layers": 2,
        "attention_head_dim": 8,
        "patch_size": 1,
        "num_attention_heads": 2,
        "joint_attention_dim": 96,
        "pooled_projection_dim": 64,
        "guidance_embeds": False,
        "axes_dims_rope": (2, 2, 4),
        "out_channels": None,
    }
    for name, value in sizes.items():
        setattr(config.arch_config, name, value)
    return config


def transformer(config: FluxConfig, folder: str) -> FluxTransformer2DModel:
    """With the weights of a folder of diffusers, whose names it keeps."""
    model = FluxTransformer2DModel(config, {}).eval().requires_grad_(False)
    model.load_state_dict(load_file(f"{folder}/transformer/diffusion_pytorch_model.safetensors"))
    return model


def sample(stage: Stage, num_steps: int, loop: Any, args: Any, seed: int = 0) -> torch.Tensor:
    """SGLang's loop over a request with guidance."""
    generator = torch.Generator().manual_seed(seed)
    stage.scheduler.set_timesteps(num_steps, device="cpu")
    batch = Req(prompt="a red ring")
    batch.latents = torch.randn(1, TOKENS, 32, generator=generator)
    batch.timesteps, batch.num_inference_steps = stage.scheduler.timesteps, num_steps
    batch.scheduler, batch.raw_latent_shape = stage.scheduler, batch.latents.shape
    places = torch.zeros(WORDS + TOKENS, 3)
    places[WORDS:, 1], places[WORDS:, 2] = torch.arange(TOKENS) // 4, torch.arange(TOKENS) % 4
    prompt = {
        "encoder_hidden_states": torch.randn(1, WORDS, 96, generator=generator),
        "pooled_projections": torch.randn(1, 64, generator=generator),
        "freqs_cis": stage.transformer.rotary_emb.forward(places),
    }
    context = denoising.DenoisingContext(
        scheduler=stage.scheduler,
        extra_step_kwargs={},
        target_dtype=torch.float32,
        autocast_enabled=False,
        timesteps=batch.timesteps,
        num_inference_steps=num_steps,
        num_warmup_steps=0,
        image_kwargs={},
        pos_cond_kwargs=prompt,
        neg_cond_kwargs={},
        latents=batch.latents,
        boundary_timestep=None,
        z=None,
        reserved_frames_mask=None,
        seq_len=None,
        guidance=None,
        is_warmup=False,
        cfg_policy=args.pipeline_config.cfg_policy.build(batch, {}, prompt, {}),
    )
    with torch.no_grad():
        loop(stage, context, batch, args, collect_trajectory=False)
    return context.latents


def native(args: Any, config: FluxConfig, folder: str) -> dict[str, Any]:
    """Cached runs of two numbers of steps; and one of the bare model, for comparison."""
    euler = scheduling_flow_match_euler_discrete.FlowMatchEulerDiscreteScheduler
    stage, bare = (Stage(transformer(config, folder), euler(shift=3.0)) for _ in range(2))
    hooked = Stage._run_denoising_loop
    found: dict[str, Any] = {}
    first = sample(stage, 12, hooked, args)
    hook = HookRegistry._hooks[f"{denoising.__name__}.DenoisingStage._run_denoising_loop"][0][1]
    session = hook.__self__._served[0].session
    found["latents"] = first.flatten().tolist()
    found["backbone"], found["twelve"] = session.report.info.backbone, session.report.plan()
    sample(stage, 20, hooked, args)
    found["twenty"] = session.report.plan()
    found["again"] = torch.equal(sample(stage, 12, hooked, args), first)
    found["is_bare"] = torch.equal(sample(bare, 12, hooked.__wrapped__, args), first)
    return found


def of_diffusers(args: Any, folder: str) -> dict[str, Any]:
    """A folder, loaded by SGLang's loader, and run by its stage."""
    pipeline = object.__new__(DiffusersPipeline)
    pipeline.server_args, pipeline._cache_dit_enabled = args, False
    pipe = pipeline._load_diffusers_pipeline(folder, args)
    pipe.set_progress_bar_config(disable=True)
    stage = DiffusersExecutionStage(pipe)
    runs = 0

    def count(*_: Any) -> None:
        nonlocal runs
        runs += 1

    pipe.transformer.transformer_blocks[0].register_forward_pre_hook(count)
    call = {"prompt": "a red ring", "height": 16, "width": 16, "num_inference_steps": 12, "max_sequence_length": 8}
    stage._build_pipeline_kwargs = lambda batch: dict(call)
    stage.forward(Req(prompt="a red ring"), args)
    return {"session": "_lesa_attachment" in vars(pipe.transformer), "computed": runs}


def start(config: FluxConfig) -> Any:
    """What a server does before it loads a model; the result is its arguments."""
    parallel_state.init_distributed_environment(1, 0, "env://", 0, "gloo")
    parallel_state.initialize_model_parallel(sequence_parallel_degree=1, backend="gloo")
    pipeline_config = FluxPipelineConfig()
    pipeline_config.dit_config, pipeline_config.dit_precision = config, "fp32"
    ones = dict.fromkeys(("tp_size", "sp_degree", "ulysses_degree", "ring_degree", "kv_gather_degree", "num_gpus"), 1)
    args = Defaults(**ones, pipeline_config=pipeline_config, disable_autocast=True)
    set_global_server_args(args)
    return args


def main(folder: str) -> None:
    config = configuration()
    args = start(config)
    found = {"hooks": sorted(HookRegistry._patched), "native": native(args, config, folder)}
    found["diffusers"] = of_diffusers(args, folder)
    print("RESULT", json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
