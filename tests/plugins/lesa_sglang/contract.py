"""What the door uses of SGLang 0.5.23, as its files have it, with a tiny FLUX in place of its own."""

from __future__ import annotations

import enum
import math
import pkgutil
import sys
from collections import defaultdict
from functools import wraps
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from tests.fixtures_flux import places

RUNTIME = "sglang.multimodal_gen.runtime"
HEIGHT = WIDTH = 4


class HookType(enum.Enum):
    AFTER = "after"
    AROUND = "around"
    REPLACE = "replace"


class HookRegistry:
    """Hooks on dotted names; applied once, when everything has registered."""

    hooks: ClassVar[defaultdict[str, list[tuple[HookType, Any]]]] = defaultdict(list)

    @classmethod
    def register(cls, target: str, hook: Any, hook_type: HookType = HookType.AFTER) -> None:
        cls.hooks[target].append((hook_type, hook))

    @classmethod
    def apply_hooks(cls) -> None:
        for target, hooks in cls.hooks.items():
            place, name = target.rsplit(".", 1)
            owner = pkgutil.resolve_name(place)
            for kind, hook in hooks:
                setattr(owner, name, cls.wrapped(getattr(owner, name), hook, kind))

    @staticmethod
    def wrapped(original: Any, hook: Any, kind: HookType) -> Any:
        @wraps(original)
        def wrapper(*args, **kwargs):
            if kind is HookType.AROUND:
                return hook(original, *args, **kwargs)
            if kind is HookType.REPLACE:
                return hook(*args, **kwargs)
            result = original(*args, **kwargs)
            modified = hook(result, *args, **kwargs)
            return result if modified is None else modified

        return wrapper


class FluxTransformer2DModel(diffusers.FluxTransformer2DModel):
    """Timesteps and guidance in thousandths, a tensor back."""

    def forward(
        self,
        hidden_states,
        encoder_hidden_states=None,
        pooled_projections=None,
        timestep=None,
        guidance=None,
        freqs_cis=None,
        joint_attention_kwargs=None,
    ):
        side = math.isqrt(hidden_states.shape[1])
        return super().forward(
            hidden_states,
            encoder_hidden_states,
            pooled_projections,
            timestep / 1000,
            guidance=None if guidance is None else guidance / 1000,
            img_ids=places(side, side),
            txt_ids=torch.zeros(encoder_hidden_states.shape[1], 3),
            return_dict=False,
        )[0]


FluxTransformer2DModel.__module__ = f"{RUNTIME}.models.dits.flux"


def make_denoising_stage() -> type[Any]:
    """A new class each time, because hooks change it."""

    class DenoisingStage:
        server_args = SimpleNamespace(enable_breakable_cuda_graph=False)
        cache_dit_by_default = False

        def __init__(self, transformer, scheduler, pipeline=None, transformer_2=None, vae=None) -> None:
            self.transformer, self.transformer_2, self.scheduler = transformer, transformer_2, scheduler
            self.of_requests = scheduler  # the pipeline's

        def __call__(self, batch, server_args):
            return self.forward(batch, server_args)

        @torch.no_grad()
        def forward(self, batch, server_args):
            ctx = self._prepare_denoising_loop(batch, server_args)
            self._run_denoising_loop(ctx, batch, server_args)
            batch.latents = ctx.latents
            return batch

        def _cache_dit_requested_for_batch(self, batch):
            return self.cache_dit_by_default if batch.enable_cache_dit is None else batch.enable_cache_dit

        def _prepare_denoising_loop(self, batch, server_args):
            self.transformer = self.transformer or self.load()
            batch.scheduler._step_index = batch.scheduler._begin_index = None
            batch.scheduler.set_begin_index(0)
            return SimpleNamespace(scheduler=batch.scheduler, timesteps=batch.timesteps, latents=batch.latents)

        def _run_denoising_loop(self, ctx, batch, server_args, *, collect_trajectory=True):
            for index in range(len(ctx.timesteps)):
                self._run_denoising_step(ctx, batch, index)

        def _run_denoising_step(self, ctx, batch, index):
            batch.at_step(index)
            t = ctx.timesteps[index]
            noise = [self._predict_noise(self.transformer, ctx.latents, t, each) for each in batch.branches]
            combined = noise[0] if len(noise) == 1 else noise[1] + 3 * (noise[0] - noise[1])
            ctx.latents = ctx.scheduler.step(combined, t, ctx.latents, return_dict=False)[0]

        def _predict_noise(self, current_model, latents, t, kwargs):
            return current_model(hidden_states=latents, timestep=t.repeat(latents.shape[0]), **kwargs)

    return DenoisingStage


def make_own_loops(base: type[Any]) -> tuple[type[Any], ...]:
    """Stages that prepare as others do, and go on with a loop of their own."""

    class DmdDenoisingStage(base):
        """A few steps between which new noise is added; its scheduler only converts."""

        def __init__(self, transformer, scheduler) -> None:
            super().__init__(transformer, scheduler)
            self.scheduler = FlowMatchEulerDiscreteScheduler(shift=8.0)

        @torch.no_grad()
        def forward(self, batch, server_args):
            ctx, levels = self._prepare_denoising_loop(batch, server_args), (1.0, 0.757, 0.522, 0.0)
            for level, following in pairwise(levels):
                t = torch.tensor(1000 * level)
                clean = ctx.latents - level * self._predict_noise(self.transformer, ctx.latents, t, batch.branches[0])
                noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
                ctx.latents = (1 - following) * clean + following * noise
            batch.latents = ctx.latents
            return batch

    class ProgressiveDenoisingStage(base):
        """The first third of the steps has a quarter of the tokens."""

        @torch.no_grad()
        def forward(self, batch, server_args):
            tokens, batch.latents = batch.latents.shape[1], batch.latents[:, ::4]
            ctx = self._prepare_denoising_loop(batch, server_args)
            for index in range(len(ctx.timesteps)):
                if index == len(ctx.timesteps) // 3:
                    ctx.latents = ctx.latents.repeat_interleave(tokens // ctx.latents.shape[1], 1)
                self._run_denoising_step(ctx, batch, index)
            batch.latents = ctx.latents
            return batch

    return DmdDenoisingStage, ProgressiveDenoisingStage


def make_classes() -> dict[str, dict[str, Any]]:
    """Module -> its names; new classes each time, because hooks change them."""

    class DiffusersPipeline:
        def __init__(self, pipe: Any) -> None:
            self.diffusers_pipe = self._load_diffusers_pipeline(pipe, None)

        def _load_diffusers_pipeline(self, model_path, server_args):
            return model_path

    def _qwen_norm_out(norm_out, hidden_states, conditioning_embedding):
        raise AssertionError("the door replaces it")

    stage = make_denoising_stage()
    dmd, progressive = make_own_loops(stage)

    return {
        "platforms.plugins": {"HookRegistry": HookRegistry, "HookType": HookType},
        "pipelines.diffusers_pipeline": {"DiffusersPipeline": DiffusersPipeline},
        "pipelines_core.stages.denoising": {"DenoisingStage": stage},
        "pipelines_core.stages.denoising_dmd": {"DmdDenoisingStage": dmd},
        "pipelines_core.stages.progressive_resolution.denoising": {"ProgressiveDenoisingStage": progressive},
        "models.dits.qwen_image": {"_qwen_norm_out": _qwen_norm_out},
    }


def install(monkeypatch: Any) -> SimpleNamespace:
    """Put the modules in place of SGLang's; the result has their names."""
    HookRegistry.hooks.clear()
    found: dict[str, Any] = {}
    classes = make_classes()
    for path, names in classes.items():
        parts = f"{RUNTIME}.{path}".split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name not in found:
                found[name] = ModuleType(name)
                found[name].__path__ = []
                monkeypatch.setitem(sys.modules, name, found[name])
                if end > 1:
                    setattr(found[".".join(parts[: end - 1])], parts[end - 1], found[name])
        vars(found[f"{RUNTIME}.{path}"]).update(names)
    return SimpleNamespace(**{name: value for names in classes.values() for name, value in names.items()})


def nothing(index: int) -> None:
    """Done at each step."""


def request(stage: Any, num_steps: int, seed: int = 0, *, guided: bool = True, at_step: Any = nothing) -> Any:
    """A request, with its timesteps set on the pipeline's scheduler."""
    stage.of_requests.set_timesteps(num_steps, device="cpu")
    generator = torch.Generator().manual_seed(seed)

    def new(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    branches = [{"encoder_hidden_states": new(1, 5, 96), "pooled_projections": new(1, 64)} for _ in range(1 + guided)]
    return SimpleNamespace(
        scheduler=stage.of_requests,
        timesteps=stage.of_requests.timesteps,
        latents=new(1, HEIGHT * WIDTH, 32),
        branches=branches,
        at_step=at_step,
        enable_teacache=False,
        enable_spectrum=False,
        enable_cache_dit=None,
    )
