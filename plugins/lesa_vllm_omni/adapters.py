"""vLLM-Omni's own transformer classes. They keep diffusers' names and arguments."""

from __future__ import annotations

from types import MappingProxyType

from torch import nn

from lesa_framework import Arguments, BackboneAdapter, Registrar, UnsupportedBackboneError, hookimpl

#: Before this name, diffusers' classes are meant.
MODULE = "vllm_omni."


class FluxAdapter(BackboneAdapter):
    """The layout of diffusers' class."""

    model_class = same_as = "FluxTransformer2DModel"
    model_module = MODULE
    blocks = ("transformer_blocks", "single_transformer_blocks")
    head = "norm_out"
    unverified = True


class QwenImageAdapter(BackboneAdapter):
    """The layout of diffusers' class; it always returns an object."""

    model_class = same_as = "QwenImageTransformer2DModel"
    model_module = MODULE
    blocks = ("transformer_blocks",)
    head = "norm_out"
    unverified = True


class WanAdapter(BackboneAdapter):
    """Wan 2.1, and both transformers of Wan 2.2; `norm_out` gets the hidden state in its own dtype."""

    model_class = same_as = "WanTransformer3DModel"
    model_module = MODULE
    blocks = ("blocks",)
    head = "norm_out"
    timestep_scale = 1 / 1000
    unverified = True

    def refuse(self, model: nn.Module, arguments: Arguments) -> str | None:
        """A stage of a pipeline-parallel model has neither all blocks nor, but for the last, the head.

        Raises:
            UnsupportedBackboneError: It is such a stage. That holds for every call, so none is computed instead.
        """
        if arguments.get("intermediate_tensors") is None:
            return None
        raise UnsupportedBackboneError(
            f"{type(model).__name__}: with pipeline parallelism no process has the whole model. Use tensor or sequence "
            "parallelism."
        )


#: Kind -> adapter.
ADAPTERS = MappingProxyType(
    {"vllm_omni_flux": FluxAdapter, "vllm_omni_qwen_image": QwenImageAdapter, "vllm_omni_wan": WanAdapter}
)


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the adapters; the door calls for it in vLLM-Omni's processes alone."""
    for kind, adapter in ADAPTERS.items():
        registrar.add_backbone(kind, adapter)
