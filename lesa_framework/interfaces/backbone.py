"""Backbone adapters: where the feature sits in one model class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from lesa_framework.types import Tap

#: The model's own argument names -> what it was called with.
Arguments = Mapping[str, object]


class BackboneAdapter:
    """Declares how one transformer class is laid out. Most adapters only set the class attributes.

    Attributes:
        model_class: Name of the class, matched against the model's class and its bases, so that no
            import of it is needed.
        block_lists: Paths of the `ModuleList`s that make up the stack; they are bypassed on predicted steps.
        closing: Path of the module that closes the stack, called with the hidden state first.
        taps: Taps that work on this class.
        latent_argument: Name of the argument that holds the current latent.
        condition_argument: Name of the argument that tells branches apart (text embeddings), or None.
        timestep_argument: Name of the argument that holds the timestep, a tensor or a number.
        timestep_scale: `timestep * timestep_scale` is the noise level in [0, 1].

    Example:
        The whole adapter of FLUX::

            class FluxAdapter(BackboneAdapter):
                model_class = "FluxTransformer2DModel"
                block_lists = ("transformer_blocks", "single_transformer_blocks")
                closing = "norm_out"
    """

    model_class: ClassVar[str]
    block_lists: ClassVar[tuple[str, ...]]
    closing: ClassVar[str]
    taps: ClassVar[tuple[Tap, ...]] = (Tap.PRE_HEAD, Tap.POST_NORM, Tap.OUTPUT)
    latent_argument: ClassVar[str] = "hidden_states"
    condition_argument: ClassVar[str | None] = "encoder_hidden_states"
    timestep_argument: ClassVar[str] = "timestep"
    timestep_scale: ClassVar[float] = 1.0

    def latent(self, arguments: Arguments) -> Tensor:
        """The current latent, read-only."""
        latent = arguments[self.latent_argument]
        assert isinstance(latent, Tensor)
        return latent

    def condition(self, arguments: Arguments) -> Tensor | None:
        """The tensor that tells one branch from another; None when the call has none."""
        condition = arguments.get(self.condition_argument) if self.condition_argument else None
        return condition if isinstance(condition, Tensor) else None

    def timestep(self, arguments: Arguments) -> Tensor | float:
        """The timestep in the model's own units; a tensor stays on its device."""
        timestep = arguments[self.timestep_argument]
        assert isinstance(timestep, Tensor | float | int)
        return timestep

    def refuse(self, model: nn.Module, arguments: Arguments) -> str | None:  # noqa: ARG002 - for those that need it
        """Why this call cannot be cached, in a sentence for the user; None when it can."""
        return None
