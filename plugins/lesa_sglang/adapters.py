"""SGLang's own transformer classes. They keep diffusers' names and are called with timesteps from 0 to 1000."""

from __future__ import annotations

from types import MappingProxyType

from lesa_framework import Arguments, BackboneAdapter, Registrar, hookimpl

#: Before this name, diffusers' classes are meant.
MODULE = "sglang."


class FluxAdapter(BackboneAdapter):
    """Guidance comes in thousandths too."""

    model_class = same_as = "FluxTransformer2DModel"
    model_module = MODULE
    blocks = ("transformer_blocks", "single_transformer_blocks")
    head = "norm_out"
    timestep_scale = 1 / 1000
    unverified = True

    def guidance(self, arguments: Arguments) -> float | None:
        """As the model of diffusers is given it."""
        guidance = super().guidance(arguments)
        return None if guidance is None else guidance / 1000


class QwenImageAdapter(BackboneAdapter):
    """Its forward reads the parts of `norm_out` and not the module, unless the door sees to it."""

    model_class = same_as = "QwenImageTransformer2DModel"
    model_module = MODULE
    blocks = ("transformer_blocks",)
    head = "norm_out"
    guidance_argument = None
    timestep_scale = 1 / 1000
    unverified = True


class WanAdapter(BackboneAdapter):
    """Wan 2.1, and both transformers of Wan 2.2; `norm_out` gets shift and scale besides."""

    model_class = same_as = "WanTransformer3DModel"
    model_module = MODULE
    blocks = ("blocks",)
    head = "norm_out"
    guidance_argument = None
    timestep_scale = 1 / 1000
    unverified = True


#: Kind -> adapter.
ADAPTERS = MappingProxyType(
    {"sglang_flux": FluxAdapter, "sglang_qwen_image": QwenImageAdapter, "sglang_wan": WanAdapter}
)


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the adapters; the door calls for it in SGLang's processes alone."""
    for kind, adapter in ADAPTERS.items():
        registrar.add_backbone(kind, adapter)
