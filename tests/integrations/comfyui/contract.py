"""The part of ComfyUI that the nodes use, in as few lines as show it: written from what its interfaces do."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from tests.integrations.comfyui import package
from tests.integrations.comfyui.flux import Flux
from tests.integrations.comfyui.models import MODELS

SAMPLER_SAMPLE = "sampler_sample"
#: A prompt's embedding, and its pooled one.
Prompt: TypeAlias = tuple[Tensor, Tensor]
PROMPTS: tuple[Prompt, ...] = tuple((torch.full((1, 5, 12), value), torch.full((1, 8), value)) for value in (0.5, -0.5))


class Patcher:
    """A model that all of its clones share, and the wrappers of one of them."""

    def __init__(self, model: nn.Module) -> None:
        self.model = SimpleNamespace(diffusion_model=model)
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.wrappers: dict[str, dict[str, list[Callable[..., Any]]]] = {}

    def clone(self) -> Patcher:
        other = Patcher(self.model.diffusion_model)
        other.model, other.model_options = self.model, copy.deepcopy(self.model_options)
        other.wrappers = {
            where: {key: [*each] for key, each in by_key.items()} for where, by_key in self.wrappers.items()
        }
        return other

    def add_wrapper_with_key(self, where: str, key: str, wrapper: Callable[..., Any]) -> None:
        self.wrappers.setdefault(where, {}).setdefault(key, []).append(wrapper)

    def remove_wrappers_with_key(self, where: str, key: str) -> None:
        self.wrappers.get(where, {}).pop(key, None)


class Executor:
    """Calls the wrappers, each of which calls the next."""

    def __init__(self, original: Callable[..., Any], wrappers: list[Callable[..., Any]]) -> None:
        self._original, self._wrappers = original, wrappers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._wrappers:
            return self._original(*args, **kwargs)
        first, *rest = self._wrappers
        return first(Executor(self._original, rest), *args, **kwargs)


class World:
    """Makes models and samples from them."""

    name = "contract"
    where = SAMPLER_SAMPLE
    samplers = ("euler", "heun", "midpoint")

    def __init__(self) -> None:
        self.package = package.load("contract", _modules())
        self.models_folder = package.part(self.package, "nodes").folder_paths

    def model(self, kind: str) -> Patcher:
        return Patcher(MODELS[kind][0]())

    def twin(self, transformer: nn.Module) -> Patcher:
        """diffusers' FLUX, with its weights, as ComfyUI has the model."""
        return Patcher(Flux(transformer))

    def as_sampled(self, patcher: Patcher, latent: Tensor) -> Tensor:
        """A result as the sampler saw it."""
        return latent

    def noise(self, kind: str, batch: int = 1, seed: int = 0) -> Tensor:
        return torch.randn((batch, *MODELS[kind][1]), generator=torch.Generator().manual_seed(seed))

    def sigmas(self, patcher: Patcher, steps: int) -> Tensor:
        t = torch.linspace(1, 0, steps + 1)
        return 3 * t / (1 + 2 * t)

    @torch.inference_mode()
    def sample(
        self,
        patcher: Patcher,
        noise: Tensor,
        sigmas: Tensor,
        *,
        guidance: float = 3.0,
        sampler: str = "euler",
        callback: Callable[[int], None] = lambda step: None,
        in_one_call: bool = True,
        prompts: Sequence[Prompt] = PROMPTS,
    ) -> Tensor:
        options = copy.copy(patcher.model_options)
        options["transformer_options"] = {**options["transformer_options"], "sample_sigmas": sigmas}
        guider = _Guider(patcher.model, guidance, prompts, in_one_call=in_one_call)
        wrappers = [each for by_key in patcher.wrappers.get(self.where, {}).values() for each in by_key]
        run = Executor(_SAMPLERS[sampler], wrappers)
        result: Tensor = run(guider, sigmas, {"model_options": options}, callback, noise, None, None, True)
        return result


class _Guider:
    """Calls the model for both prompts, in one batch put together from the end, or in two calls."""

    def __init__(self, model: Any, guidance: float, prompts: Sequence[Prompt], *, in_one_call: bool) -> None:
        self.inner_model, self._guidance, self._in_one_call = model, guidance, in_one_call
        self._prompts = [(prompt, uuid.uuid4()) for prompt in prompts]

    def velocity(self, x: Tensor, level: Tensor, options: dict[str, Any]) -> Tensor:
        kinds = [0] if self._guidance == 1 else [0, 1]
        batches = [kinds[::-1]] if self._in_one_call else [[kind] for kind in kinds]
        found: dict[int, Tensor] = {}
        for batch in batches:
            found.update(zip(batch, self._call(x, level, batch, options).chunk(len(batch)), strict=True))
        if self._guidance == 1:
            return found[0]
        return found[1] + (found[0] - found[1]) * self._guidance

    def _call(self, x: Tensor, level: Tensor, kinds: list[int], options: dict[str, Any]) -> Tensor:
        timestep = level.expand(x.shape[0])
        context, pooled = (
            torch.cat([self._prompts[kind][0][part].expand(x.shape[0], *[-1] * axes) for kind in kinds])
            for part, axes in enumerate((2, 1))
        )
        told = {
            **options["model_options"]["transformer_options"],
            "cond_or_uncond": [*kinds],
            "uuids": [self._prompts[kind][1] for kind in kinds],
            "sigmas": timestep,
        }
        model = self.inner_model.diffusion_model
        named = {"num_tokens": 5} if "num_tokens" in type(model).forward.__code__.co_varnames else {}
        result: Tensor = model(
            torch.cat([x] * len(kinds)),
            torch.cat([timestep * model.multiplier] * len(kinds)),
            context=context,
            y=pooled,
            transformer_options=told,
            **named,
        )
        return result


def _euler(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar):
    x = noise
    for step in range(len(sigmas) - 1):
        x = x + (sigmas[step + 1] - sigmas[step]) * guider.velocity(x, sigmas[step], extra_args)
        callback(step)
    return x


def _heun(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar):
    x = noise
    for step in range(len(sigmas) - 1):
        width = sigmas[step + 1] - sigmas[step]
        first = guider.velocity(x, sigmas[step], extra_args)
        if sigmas[step + 1] > 0:
            first = (first + guider.velocity(x + width * first, sigmas[step + 1], extra_args)) / 2
        x = x + width * first
        callback(step)
    return x


def _midpoint(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar):
    x = noise
    for step in range(len(sigmas) - 1):
        width, between = sigmas[step + 1] - sigmas[step], (sigmas[step] + sigmas[step + 1]) / 2
        half = x + width / 2 * guider.velocity(x, sigmas[step], extra_args)
        x = x + width * guider.velocity(half, between, extra_args)
        callback(step)
    return x


_SAMPLERS = {"euler": _euler, "heun": _heun, "midpoint": _midpoint}


class FolderPaths(ModuleType):
    """ComfyUI's folders."""

    def __init__(self) -> None:
        super().__init__("folder_paths")
        self.models_dir = "models"
        self.folders: dict[str, list[str]] = {}

    def add_model_folder_path(self, name: str, folder: str, is_default: bool = False) -> None:
        if folder not in self.folders.setdefault(name, []):
            self.folders[name].append(folder)

    def get_folder_paths(self, name: str) -> list[str]:
        return [*self.folders[name]]


class _Type:
    """A type of values in the schema: it makes descriptions of inputs and outputs."""

    def __init__(self, io_type: str) -> None:
        self.io_type = io_type

    def Input(self, id: str, **options: Any) -> SimpleNamespace:  # noqa: A002, N802 - ComfyUI's names
        return SimpleNamespace(id=id, io_type=self.io_type, **options)

    def Output(self, id: str | None = None, **options: Any) -> SimpleNamespace:  # noqa: A002, N802
        return SimpleNamespace(id=id, io_type=self.io_type, **options)


class _Schema(SimpleNamespace):
    pass


class _Node:
    @classmethod
    def GET_SCHEMA(cls) -> Any:  # noqa: N802 - ComfyUI's name
        return cls.define_schema()  # type: ignore[attr-defined]


class _NodeOutput:
    def __init__(self, *args: Any, ui: Any = None) -> None:
        self.args, self.ui = args, ui

    @property
    def result(self) -> tuple[Any, ...]:
        return self.args


class _PreviewText:
    def __init__(self, value: str) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}


def _modules() -> dict[str, ModuleType]:
    """What the nodes import of ComfyUI."""
    types = {"Model": "MODEL", "Combo": "COMBO", "Float": "FLOAT", "Int": "INT", "String": "STRING", "AnyType": "*"}
    io = SimpleNamespace(
        Schema=_Schema,
        ComfyNode=_Node,
        NodeOutput=_NodeOutput,
        Custom=_Type,
        **{name: _Type(io_type) for name, io_type in types.items()},
    )
    comfy, extension = ModuleType("comfy"), ModuleType("comfy.patcher_extension")
    extension.WrappersMP = SimpleNamespace(SAMPLER_SAMPLE=SAMPLER_SAMPLE)  # type: ignore[attr-defined]
    api, latest = ModuleType("comfy_api"), ModuleType("comfy_api.latest")
    latest.ComfyExtension, latest.io = type("ComfyExtension", (), {}), io  # type: ignore[attr-defined]
    latest.ui = SimpleNamespace(PreviewText=_PreviewText)  # type: ignore[attr-defined]
    return {
        "comfy": comfy,
        "comfy.patcher_extension": extension,
        "comfy_api": api,
        "comfy_api.latest": latest,
        "folder_paths": FolderPaths(),
    }
