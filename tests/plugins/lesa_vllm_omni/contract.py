"""What the door uses of vLLM-Omni 0.30, as its files have it, with a tiny FLUX in place of its own."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from types import ModuleType, SimpleNamespace
from typing import Any

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from tests.fixtures_flux import places

ROOT = "vllm_omni.diffusion"


@dataclass
class DiffusionCacheConfig:
    rel_l1_thresh: float | None = None
    residual_diff_threshold: float = 0.24
    velocity_sim_thresholds: list[float] = field(default_factory=lambda: [0.95, 0.93])
    num_inference_steps: int | None = None
    _extra_params: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DiffusionCacheConfig:
        names = {each.name for each in fields(cls)}
        known = {key: value for key, value in data.items() if key in names and not key.startswith("_")}
        return cls(**known, _extra_params={key: value for key, value in data.items() if key not in names})


class CacheBackend(ABC):
    def __init__(self, config: DiffusionCacheConfig) -> None:
        self.config, self.enabled = config, False

    @abstractmethod
    def enable(self, pipeline: Any) -> None: ...

    @abstractmethod
    def refresh(self, pipeline: Any, num_inference_steps: int, verbose: bool = True) -> None: ...

    def is_enabled(self) -> bool:
        return self.enabled


def get_cache_backend(cache_backend: str | None, cache_config: Any) -> CacheBackend | None:
    if cache_backend is None or cache_backend == "none":
        return None
    raise ValueError(f"Unsupported cache backend: {cache_backend}. Supported: 'cache_dit'")


class FluxTransformer2DModel(diffusers.FluxTransformer2DModel):
    """The arguments of diffusers' class."""


FluxTransformer2DModel.__module__ = f"{ROOT}.models.flux.flux_transformer"


class FluxPipeline(nn.Module):
    """Gets a batch of requests: seeds, each with a prompt's embedding and noise of its own."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer
        self.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)

    def forward(self, batch: Any) -> Tensor:
        self.scheduler.set_timesteps(batch.num_inference_steps, device="cpu")
        parts = [self.prepared(seed) for seed in batch.seeds]
        latents, *prompts = (torch.cat(each) for each in zip(*parts, strict=True))
        return self.diffuse(latents, prompts, batch.at_step)

    @staticmethod
    def prepared(seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        shapes = ((1, 16, 32), (1, 5, 96), (1, 64), (1, 5, 96), (1, 64))
        return tuple(torch.randn(*shape, generator=generator) for shape in shapes)

    def diffuse(self, latents: Tensor, prompts: list[Tensor], at_step: Any) -> Tensor:
        self.scheduler.set_begin_index(0)
        self.transformer.do_true_cfg = True
        for index, t in enumerate(self.scheduler.timesteps):
            at_step(index)
            timestep = t.expand(latents.shape[0])
            noise = [self.predict_noise(latents, timestep / 1000, *prompts[at : at + 2]) for at in (0, 2)]
            combined = noise[1] + 3 * (noise[0] - noise[1])
            latents = self.scheduler.step(combined, t, latents, return_dict=False)[0]
        return latents

    def predict_noise(self, latents: Tensor, timestep: Tensor, prompt: Tensor, pooled: Tensor) -> Tensor:
        ids = places(4, 4), torch.zeros(5, 3)
        return self.transformer(
            hidden_states=latents,
            timestep=timestep,
            encoder_hidden_states=prompt,
            pooled_projections=pooled,
            img_ids=ids[0],
            txt_ids=ids[1],
            return_dict=False,
        )[0]


def install(monkeypatch: Any) -> dict[str, ModuleType]:
    """Put the modules in place of vLLM-Omni's; the runner has imported the selector's function already."""
    contents = {
        "vllm_omni": {},
        ROOT: {},
        f"{ROOT}.data": {"DiffusionCacheConfig": DiffusionCacheConfig},
        f"{ROOT}.cache": {},
        f"{ROOT}.cache.base": {"CacheBackend": CacheBackend},
        f"{ROOT}.cache.selector": {"get_cache_backend": get_cache_backend},
        f"{ROOT}.worker": {},
        f"{ROOT}.worker.diffusion_model_runner": {"get_cache_backend": get_cache_backend},
    }
    modules = {}
    for name, names in contents.items():
        module = modules[name] = ModuleType(name)
        module.__path__ = []
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "lesa_vllm_omni.backend", raising=False)
    return modules


class Runner:
    """The runner's part: loads with a cache backend, refreshes it for each batch, and runs that."""

    def __init__(self, select: Any, pipeline: FluxPipeline, cache_backend: str, cache_config: Any) -> None:
        if isinstance(cache_config, dict):
            cache_config = DiffusionCacheConfig.from_dict(cache_config)
        self.pipeline, self.cache_backend = pipeline, select(cache_backend, cache_config)
        if self.cache_backend is not None:
            self.cache_backend.enable(self.pipeline)

    def execute(self, *seeds: int, num_steps: int = 12, at_step: Any = lambda index: None) -> Tensor:
        with torch.inference_mode():
            if self.cache_backend is not None and self.cache_backend.is_enabled():
                self.cache_backend.refresh(self.pipeline, num_steps)
            batch = SimpleNamespace(seeds=seeds, num_inference_steps=num_steps, at_step=at_step)
            output: Tensor = self.pipeline.forward(batch)
            return output.clone()
