"""Runs of the sampler for fits: the pipeline's own code, to the latents, with gradients if wanted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from lesa_framework.call_arguments import expanded_call
from lesa_framework.errors import ConfigError
from lesa_framework.interfaces.fit import Batch
from lesa_framework.place import Pipeline, transformers_of


class NoGradientsError(ConfigError):
    """A pipeline cannot be run with gradients.

    Args:
        pipeline: Its class.
        remedy: What to do; a fit that has a setting for this names it.
    """

    def __init__(self, pipeline: str, remedy: str = "Use a fit that needs none.") -> None:
        super().__init__(f"{pipeline}: its call cannot be run with gradients. {remedy}")
        self.pipeline = pipeline


@dataclass(frozen=True)
class Sampler:
    """A pipeline and how to call it.

    Attributes:
        pipe: A diffusers pipeline with a transformer; its modules are frozen while it is used here.
        num_steps: Steps of the sampler.
        call: Further keyword arguments of the pipeline's call.
    """

    pipe: Pipeline
    num_steps: int
    call: Mapping[str, Any]

    def freeze(self) -> None:
        """Switch off gradients of every weight: only predictors are fitted."""
        for part in vars(self.pipe).values():
            if isinstance(part, nn.Module):
                part.requires_grad_(False)

    @contextmanager
    def checkpointing(self) -> Iterator[None]:
        """Within it, the transformers of diffusers recompute the activations of their blocks, if they know how to."""
        able = [cast("_Checkpointing", each) for each in transformers_of(self.pipe).values() if _can_checkpoint(each)]
        with ExitStack() as undone:
            for model in able:
                model.enable_gradient_checkpointing()
                undone.callback(model.disable_gradient_checkpointing)
            yield

    def run(self, batch: Batch, *, gradients: bool = False) -> Tensor:
        """Sample.

        Args:
            batch: What to sample.
            gradients: Keep the graph from predictions to the final latents. The pipeline's `no_grad` is
                stepped around by calling the function inside the decorator.

        Returns:
            The final latents, as the pipeline holds them before decoding.

        Raises:
            NoGradientsError: The pipeline cannot be run with gradients.
        """
        arguments = {
            **expanded_call(self.call, len(batch.prompts)),
            "prompt": list(batch.prompts),
            "num_inference_steps": self.num_steps,
            "generator": [torch.Generator().manual_seed(seed) for seed in batch.seeds],
            "output_type": "latent",
            "return_dict": False,
        }
        latents: Tensor = self._function(gradients)(self.pipe, **arguments)[0]
        return latents

    def _function(self, gradients: bool) -> Callable[..., Any]:
        decorated: Callable[..., Any] = getattr(type(self.pipe), "__call__")  # noqa: B004, B009 - the function itself
        if not gradients:
            return decorated
        inner: Callable[..., Any] = inspect.unwrap(decorated)
        if inner is decorated:
            raise NoGradientsError(type(self.pipe).__name__)
        return inner


class _Checkpointing(Protocol):
    """The part of diffusers' models that is used here."""

    is_gradient_checkpointing: bool

    def enable_gradient_checkpointing(self) -> None:
        """Recompute."""

    def disable_gradient_checkpointing(self) -> None:
        """Keep."""


def _can_checkpoint(model: nn.Module) -> bool:
    """Whether it is one of diffusers' that supports it, and does not do so already by the user's wish."""
    return bool(getattr(model, "_supports_gradient_checkpointing", False)) and not model.is_gradient_checkpointing
