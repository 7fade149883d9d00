"""ComfyUI itself, with tiny models: its own model classes, samplers, schedulers and model patcher."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.integrations.comfyui import package
from tests.integrations.comfyui.contract import PROMPTS, Prompt

VARIABLE = "COMFYUI"
COMMAND = (
    f"{VARIABLE}=/path/to/ComfyUI python -m pytest tests/integrations, in an environment with ComfyUI's requirements, "
    "lesa-framework[diffusers], pytest and hypothesis"
)
#: ComfyUI imports them for code that is not used here, and not every torch has a build of them.
_STUBS = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchaudio")

_WIDE = {"hidden_size": 32, "mlp_ratio": 2.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 2}
_FLUX = {"vec_in_dim": 8, "context_in_dim": 12, "axes_dim": [4, 6, 6], "qkv_bias": True, "guidance_embed": True}
#: Kind -> (ComfyUI's configuration class, its options, shape of a latent without its batch).
MODELS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "flux": (
        "Flux",
        {"image_model": "flux", "in_channels": 16, "out_channels": 16, "theta": 10000, "patch_size": 2} | _WIDE | _FLUX,
        (16, 8, 8),
    ),
    "qwen_image": (
        "QwenImage",
        {
            "image_model": "qwen_image",
            "in_channels": 64,
            "out_channels": 16,
            "num_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 12,
            "axes_dims_rope": (4, 6, 6),
            "pooled_projection_dim": 8,
        },
        (16, 1, 8, 8),
    ),
    "hunyuan_video": (
        "HunyuanVideo",
        {"image_model": "hunyuan_video", "in_channels": 16, "out_channels": 16, "theta": 256, "patch_size": [1, 2, 2]}
        | {"byt5": False, "meanflow": False}
        | _WIDE
        | _FLUX,
        (16, 2, 8, 8),
    ),
    "wan": (
        "WAN21_T2V",
        {"image_model": "wan2.1", "model_type": "t2v", "dim": 32, "in_dim": 16, "out_dim": 16, "num_heads": 2}
        | {"num_layers": 2, "ffn_dim": 48, "text_dim": 12, "freq_dim": 16, "patch_size": (1, 2, 2), "text_len": 8},
        (16, 2, 8, 8),
    ),
    "lumina": (
        "Lumina2",
        {"image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 32, "n_layers": 2, "n_heads": 2}
        | {"n_refiner_layers": 1, "n_kv_heads": 2, "multiple_of": 8, "norm_eps": 1e-5, "qk_norm": True}
        | {"cap_feat_dim": 12, "axes_dims": [4, 6, 6], "axes_lens": [64, 32, 32]},
        (16, 8, 8),
    ),
}


def require() -> Path:
    """The folder of ComfyUI; skips the test by name if it is not there."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"needs ComfyUI. To run it: {COMMAND}")
    path = Path(folder)
    assert (path / "comfy").is_dir(), f"{VARIABLE}={folder} has no folder `comfy`"
    return path


def _stub(name: str) -> None:
    module = ModuleType(name)
    module.__spec__, module.__path__ = importlib.machinery.ModuleSpec(name, None), []
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def _import(folder: Path) -> dict[str, ModuleType]:
    sys.path.insert(0, str(folder))
    missing = {name for name in ("torchvision", "torchaudio") if importlib.util.find_spec(name) is None}
    for name in _STUBS:
        if name.split(".")[0] in missing:
            _stub(name)
    arguments, sys.argv = sys.argv, ["comfyui", "--cpu"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("comfy.options").enable_args_parsing()
            names = ("sample", "samplers", "supported_models", "model_detection", "model_patcher", "model_management")
            return {name: importlib.import_module(f"comfy.{name}") for name in names}
    finally:
        sys.argv = arguments


class World:
    """Makes models and samples from them."""

    name = "comfyui"
    samplers = (
        "euler",
        "euler_ancestral",
        "heun",
        "heunpp2",
        "dpm_2",
        "dpm_2_ancestral",
        "lms",
        "dpmpp_2s_ancestral",
        "dpmpp_sde",
        "dpmpp_2m",
        "dpmpp_2m_sde",
        "dpmpp_3m_sde",
        "ddpm",
        "lcm",
        "ipndm",
        "deis",
        "res_multistep",
        "gradient_estimation",
        "er_sde",
        "uni_pc",
        "ddim",
    )

    def __init__(self) -> None:
        self._comfy = _import(require())
        self.package = package.load("comfyui", {})
        self.models_folder = package.part(self.package, "nodes").folder_paths
        self.where = self._comfy["samplers"].comfy.patcher_extension.WrappersMP.SAMPLER_SAMPLE

    def model(self, kind: str) -> Any:
        name, options, _ = MODELS[kind]
        patcher, random = self._patcher(name, options), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in patcher.model.diffusion_model.parameters():  # ComfyUI leaves them to the checkpoint
                drawn = torch.randn(weight.shape, generator=random)
                weight.copy_(0.2 * drawn if weight.ndim > 1 else 1 + 0.1 * drawn)
        return patcher

    def _patcher(self, name: str, options: dict[str, Any]) -> Any:
        config, cpu = getattr(self._comfy["supported_models"], name)(dict(options)), torch.device("cpu")
        config.set_inference_dtype(torch.float32, None)
        model = config.get_model({}, "", device=cpu)
        model.diffusion_model.requires_grad_(requires_grad=False)
        return self._comfy["model_patcher"].ModelPatcher(model, cpu, cpu)

    def twin(self, transformer: torch.nn.Module) -> Any:
        """diffusers' FLUX, with its weights, as ComfyUI's own class; ComfyUI itself knows the names of both."""
        sizes = transformer.config
        options = {
            "image_model": "flux",
            "in_channels": sizes.in_channels // 4,
            "out_channels": sizes.in_channels // 4,
            "patch_size": 2,
            "hidden_size": sizes.num_attention_heads * sizes.attention_head_dim,
            "num_heads": sizes.num_attention_heads,
            "depth": sizes.num_layers,
            "depth_single_blocks": sizes.num_single_layers,
            "mlp_ratio": 4.0,
            "vec_in_dim": sizes.pooled_projection_dim,
            "context_in_dim": sizes.joint_attention_dim,
            "axes_dim": [*sizes.axes_dims_rope],
            "theta": 10000,
            "qkv_bias": True,
            "guidance_embed": sizes.guidance_embeds,
        }
        patcher = self._patcher("Flux", options)
        weights = self._comfy["model_detection"].convert_diffusers_mmdit(transformer.state_dict())
        patcher.model.diffusion_model.load_state_dict(weights)
        return patcher

    def as_sampled(self, patcher: Any, latent: Tensor) -> Tensor:
        """A result as the sampler saw it: ComfyUI scales it for the decoder."""
        result: Tensor = patcher.model.process_latent_in(latent)
        return result

    def noise(self, kind: str, batch: int = 1, seed: int = 0) -> Tensor:
        return torch.randn((batch, *MODELS[kind][2]), generator=torch.Generator().manual_seed(seed))

    def sigmas(self, patcher: Any, steps: int) -> Tensor:
        found: Tensor = self._comfy["samplers"].calculate_sigmas(
            patcher.get_model_object("model_sampling"), "simple", steps
        )
        return found

    @torch.inference_mode()
    def sample(
        self,
        patcher: Any,
        noise: Tensor,
        sigmas: Tensor,
        *,
        guidance: float = 3.0,
        sampler: str = "euler",
        callback: Callable[[int], None] = lambda step: None,
        in_one_call: bool = True,
        regions: bool = False,
        prompts: Sequence[Prompt] = PROMPTS,
    ) -> Tensor:
        positive, negative = (_prompt(*prompt, patcher) for prompt in prompts)
        if regions:  # the upper half has a prompt of its own, and a second one lies over the whole
            positive += [[0.8 * positive[0][0], {**positive[0][1], "area": (4, 8, 0, 0)}], *_filled(0.2, patcher)]
        memory = self._comfy["model_management"]
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            if not in_one_call:
                patch.setattr(memory, "get_free_memory", _no_memory)
            result: Tensor = self._comfy["sample"].sample_custom(
                patcher,
                noise,
                guidance,
                self._comfy["samplers"].sampler_object(sampler),
                sigmas,
                positive,
                negative,
                torch.zeros_like(noise),
                callback=lambda step, *_: callback(step),
                disable_pbar=True,
                seed=1,
            )
        return result


def _filled(value: float, patcher: Any) -> list[Any]:
    return _prompt(torch.full((1, 5, 12), value), torch.full((1, 8), value), patcher)


def _prompt(embedding: Tensor, pooled: Tensor, patcher: Any) -> list[Any]:
    extra: dict[str, Any] = {"pooled_output": pooled, "guidance": 3.5}
    if type(patcher.model.diffusion_model).__name__ == "NextDiT":  # which counts its words by it
        extra["attention_mask"] = torch.ones(1, 5, dtype=torch.long)
    return [[embedding, extra]]


def _no_memory(device: Any = None, torch_free_too: bool = False) -> Any:
    return (0, 0) if torch_free_too else 0
