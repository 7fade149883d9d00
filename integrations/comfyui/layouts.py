"""ComfyUI's own transformer classes, declared to the framework: the same models as diffusers', with other names."""

from __future__ import annotations

from torch import Tensor

import lesa_framework as lesa
from lesa_framework import Arguments, Tap

#: The final layer of most of these projects as well, so that no normed state comes out of it.
_AROUND = (Tap.PRE_HEAD, Tap.OUTPUT)
#: FLUX and Qwen-Image see a latent in patches of 2x2; diffusers' pipelines hand it over like that.
_PATCH = 2


class _ComfyAdapter(lesa.BackboneAdapter):
    """What ComfyUI calls the arguments."""

    model_module = "comfy."
    latent_argument = "x"
    condition_argument = "context"


class _Packed(_ComfyAdapter):
    """The latent is shown as diffusers' class of the same model gets it, (batch, tokens, channels)."""

    def latent(self, arguments: Arguments) -> Tensor:
        """The current latent in patches; as it is, where it has a rest."""
        latent = super().latent(arguments)
        if not _has_patches(latent):
            return latent
        batch, channels, *_, height, width = latent.shape
        rows, columns = height // _PATCH, width // _PATCH
        patches = latent.reshape(batch, channels, rows, _PATCH, columns, _PATCH).permute(0, 2, 4, 1, 3, 5)
        return patches.reshape(batch, rows * columns, channels * _PATCH * _PATCH)

    def as_given(self, tensor: Tensor, arguments: Arguments) -> Tensor:
        """Patches in the model's rows and columns again."""
        given = super().latent(arguments)
        if not _has_patches(given):
            return tensor
        _, channels, *_, height, width = given.shape
        patches = tensor.reshape(-1, height // _PATCH, width // _PATCH, channels, _PATCH, _PATCH)
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(-1, *given.shape[1:])


def _has_patches(latent: Tensor) -> bool:
    """Whether it is one picture, of whole patches."""
    *_, height, width = latent.shape
    return height % _PATCH == 0 and width % _PATCH == 0 and latent.shape[2:-2].numel() == 1


class FluxAdapter(_Packed):
    """FLUX.1, and Kontext, whose reference images are part of the sequence."""

    model_class = "Flux"
    same_as = "FluxTransformer2DModel"
    blocks = ("double_blocks", "single_blocks")
    head = "final_layer"
    taps = _AROUND


class QwenImageAdapter(_Packed):
    """Qwen-Image, whose class has the same name as diffusers'."""

    model_class = "QwenImageTransformer2DModel"
    same_as = "QwenImageTransformer2DModel"
    blocks = ("transformer_blocks",)
    head = "norm_out"


class _Thousandths(_ComfyAdapter):
    """ComfyUI gives the noise level times 1000 to what it has no other multiplier for; the others here have 1."""

    timestep_scale = 1 / 1000


class HunyuanVideoAdapter(_Thousandths):
    """HunyuanVideo."""

    model_class = "HunyuanVideo"
    same_as = "HunyuanVideoTransformer3DModel"
    blocks = ("double_blocks", "single_blocks")
    head = "final_layer"
    taps = _AROUND

    def guidance(self, arguments: Arguments) -> float | None:
        """In thousandths, as diffusers' pipeline gives it to its class; here the model itself counts so."""
        guidance = super().guidance(arguments)
        return None if guidance is None else guidance * 1000


class WanAdapter(_Thousandths):
    """Wan 2.1, and both models of Wan 2.2."""

    model_class = "WanModel"
    same_as = "WanTransformer3DModel"
    blocks = ("blocks",)
    head = "head"
    taps = _AROUND
    guidance_argument = None


class WanVaceAdapter(_Thousandths):
    """Wan VACE: what reads the control video is called from the loop over the blocks, and is bypassed with them."""

    model_class = "VaceWanModel"
    blocks = ("blocks", "vace_blocks")
    head = "head"
    taps = _AROUND
    guidance_argument = None


class LuminaAdapter(_ComfyAdapter):
    """Lumina 2 and Z-Image; the refiners still run on predicted steps."""

    model_class = "NextDiT"
    blocks = ("layers",)
    head = "final_layer"
    taps = _AROUND
    timestep_argument = "timesteps"
    guidance_argument = None


#: Kind -> adapter.
ADAPTERS = {
    "comfy_flux": FluxAdapter,
    "comfy_hunyuan_video": HunyuanVideoAdapter,
    "comfy_lumina": LuminaAdapter,
    "comfy_qwen_image": QwenImageAdapter,
    "comfy_wan": WanAdapter,
    "comfy_wan_vace": WanVaceAdapter,
}


class ComfyPlugin:
    """Registers the adapters."""

    @lesa.hookimpl
    def lesa_register(self, registrar: lesa.Registrar) -> None:
        """Register the adapters."""
        for kind, adapter in ADAPTERS.items():
            registrar.add_backbone(kind, adapter)


_PLUGIN = ComfyPlugin()


def register() -> None:
    """Make the adapters known; again does nothing."""
    lesa.add_plugin("lesa_comfyui", _PLUGIN)
