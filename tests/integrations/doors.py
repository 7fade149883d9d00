"""The doors to the framework: each loads one file of weights and samples the same picture from the same tiny FLUX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

import lesa_framework as lesa
from lesa_framework import CallReport
from lesa_sglang import door as sglang_door
from lesa_vllm_omni import door as vllm_door
from tests.fixtures_flux import grid_of, new_transformer
from tests.integrations.comfyui import package
from tests.integrations.comfyui.contract import Prompt
from tests.integrations.comfyui.flux import packed
from tests.plugins.lesa_sglang import contract as sglang
from tests.plugins.lesa_vllm_omni import contract as vllm_omni

GUIDANCE = 3.0


@dataclass(frozen=True)
class Task:
    """A picture to sample.

    Attributes:
        sigmas: Noise levels, the final 0 included.
        noise: (1, channels, height, width).
        prompts: Of both branches.
        changes: Sizes of the transformer that are others.
        in_one_call: Whether ComfyUI puts both branches into one batch.
    """

    sigmas: tuple[float, ...]
    noise: Tensor
    prompts: tuple[Prompt, Prompt]
    changes: tuple[tuple[str, Any], ...] = ()
    in_one_call: bool = False

    @classmethod
    def new(cls, num_steps: int, **changes: Any) -> Task:
        """With the grid of FLUX's scheduler."""
        generator = torch.Generator().manual_seed(0)

        def new(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        prompts = ((new(1, 5, 96), new(1, 64)), (new(1, 5, 96), new(1, 64)))
        return cls(grid_of(num_steps), new(1, 8, 8, 8), prompts, tuple(changes.items()))

    def on(self, num_steps: int) -> Task:
        """The same with another number of steps."""
        return replace(self, sigmas=grid_of(num_steps))

    def transformer(self) -> Any:
        """Weights are the same for all doors."""
        return new_transformer(**dict(self.changes))


@dataclass(frozen=True)
class Picture:
    """What came out: the latent in tokens, and the report."""

    latent: Tensor
    report: CallReport

    @property
    def plans(self) -> list[list[tuple[int, str, str]]]:
        """For each branch, for each step: its number, what was decided, and why."""
        return [
            [(each.index, each.decision, each.reason) for each in self.report.records if each.branch == branch]
            for branch in sorted(self.report.branches)
        ]


@dataclass(frozen=True)
class House:
    """What the doors need of the tests: a factory of pipelines, ComfyUI, and pytest's patches."""

    make_flux: Callable[..., Any]
    world: Any
    monkeypatch: pytest.MonkeyPatch


#: (a configuration's name or a speed-up, what to sample, what is around it) -> picture
Door: TypeAlias = Callable[[str | float, Task, House], Picture]


def diffusers(asked: str | float, task: Task, house: House) -> Picture:
    """`lesa.accelerate`."""
    pipe = house.make_flux(**dict(task.changes))
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)  # the levels have been shifted
    (embedding, pooled), (negative, negative_pooled) = task.prompts
    named = isinstance(asked, str)
    with lesa.accelerate(pipe, asked if named else None, speedup=None if named else asked) as session:
        latent = pipe(
            prompt_embeds=embedding,
            pooled_prompt_embeds=pooled,
            negative_prompt_embeds=negative,
            negative_pooled_prompt_embeds=negative_pooled,
            true_cfg_scale=GUIDANCE,
            sigmas=list(task.sigmas[:-1]),
            num_inference_steps=len(task.sigmas) - 1,
            latents=packed(task.noise),
            height=task.noise.shape[2] * pipe.vae_scale_factor,
            width=task.noise.shape[3] * pipe.vae_scale_factor,
            output_type="latent",
        ).images
        return Picture(latent, session.report)


def comfyui(asked: str | float, task: Task, house: House) -> Picture:
    """The node, with a configuration's name in `other`."""
    inputs = (5.0, asked) if isinstance(asked, str) else (asked, "")
    world, node = house.world, package.part(house.world.package, "nodes").LesaCache
    clone, runs = node.execute(world.twin(task.transformer()), "by speed-up", *inputs).result
    latent = world.sample(
        clone,
        task.noise,
        torch.tensor(task.sigmas),
        guidance=GUIDANCE,
        prompts=task.prompts,
        in_one_call=task.in_one_call,
    )
    return Picture(packed(world.as_sampled(clone, latent)), runs.last)


def sglang_native(asked: str | float, task: Task, house: House) -> Picture:
    """`LESA_CONFIG` or `LESA_SPEEDUP`, for SGLang's own class and loop."""
    house.monkeypatch.setenv("LESA_CONFIG" if isinstance(asked, str) else "LESA_SPEEDUP", str(asked))
    engine = sglang.install(house.monkeypatch)
    sglang_door.activate()
    engine.HookRegistry.apply_hooks()
    stage = engine.DenoisingStage(_as(sglang.FluxTransformer2DModel, task), FlowMatchEulerDiscreteScheduler(shift=3.0))
    request = sglang.request(stage, len(task.sigmas) - 1)
    request.latents = packed(task.noise)
    names = ("encoder_hidden_states", "pooled_projections")
    request.branches = [dict(zip(names, prompt, strict=True)) for prompt in task.prompts]
    latent = stage(request, None).latents
    hooks = dict(sglang.HookRegistry.hooks)[f"{sglang_door.STAGE}._run_denoising_loop"]
    (served,) = hooks[0][1].__self__._served
    return Picture(latent, served.session.report)


def vllm_omni_native(asked: str | float, task: Task, house: House) -> Picture:
    """`cache_config`, for vLLM-Omni's own class and loop."""
    modules = vllm_omni.install(house.monkeypatch)
    vllm_door.register()
    pipe = vllm_omni.FluxPipeline(_as(vllm_omni.FluxTransformer2DModel, task))
    parts = (packed(task.noise), *(part for prompt in task.prompts for part in prompt))
    house.monkeypatch.setattr(pipe, "prepared", lambda seed: parts)
    options = {"config" if isinstance(asked, str) else "speedup": asked}
    runner = vllm_omni.Runner(modules[vllm_door.RUNNER].get_cache_backend, pipe, "lesa", options)
    latent = runner.execute(0, num_steps=len(task.sigmas) - 1)
    return Picture(latent, runner.cache_backend.session.report)


DOORS: dict[str, Door] = {
    "diffusers": diffusers,
    "ComfyUI": comfyui,
    "SGLang": sglang_native,
    "vLLM-Omni": vllm_omni_native,
}


def _as(engine: type[Any], task: Task) -> Any:
    """The transformer, as an engine's own class."""
    model = task.transformer()
    twin = engine(**model.config).eval().requires_grad_(False)
    twin.load_state_dict(model.state_dict())
    return twin
