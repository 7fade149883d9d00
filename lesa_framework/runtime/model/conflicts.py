"""What else may be on a model that a session is attached to: other caches, a compiler, training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lesa_framework.errors import UnsupportedBackboneError
from lesa_framework.runtime.model.override import REGISTRY, WRAPPED


def check_caches(model: nn.Module) -> None:
    """Check that no cache of diffusers is on: two caches would predict from each other's predictions.

    Of diffusers' hooks, those that keep a state from one step to the next are caches. The others are for offloading,
    casting and parallelism, and fit.

    Raises:
        UnsupportedBackboneError: There is one.
    """
    for module in model.modules():
        registry: Any = module.__dict__.get(REGISTRY)
        for hook in () if registry is None else registry.hooks.values():
            if hook._is_stateful:
                raise UnsupportedBackboneError(
                    f"{type(model).__name__}: another cache is enabled on it, diffusers' {type(hook).__name__}. "
                    "Two caches on one model predict from each other's predictions. Call its disable_cache(), or "
                    "detach this session."
                )


def check_training(model: nn.Module) -> None:
    """Check that the model's weights are not being trained: predicted steps have no gradient for them.

    Raises:
        UnsupportedBackboneError: They are.
    """
    if torch.is_grad_enabled() and model.training and any(weight.requires_grad for weight in model.parameters()):
        raise UnsupportedBackboneError(
            f"{type(model).__name__}: it is in training mode, with gradients, while a session is attached. Predicted "
            "steps would train nothing. Call the session's detach() before training; for sampling, call the "
            "transformer's eval(), or sample under torch.no_grad()."
        )


def refuse_compiler() -> None:
    """Refuse to be compiled.

    Raises:
        UnsupportedBackboneError: Always.
    """
    raise UnsupportedBackboneError(
        "torch.compile() of something that calls the transformer, or torch.export, would record one step, and a "
        "session computes some and predicts others. Compile the transformer itself: `transformer.compile()`, or "
        "`pipe.transformer = torch.compile(pipe.transformer)` and accelerate the pipeline; or only its blocks: "
        "`transformer.compile_repeated_blocks()`."
    )


# So the compiler calls it while it traces, and passes the message on. torch.compiler.assume_constant_result does the
# same, and loads the compiler.
refuse_compiler._dynamo_marked_constant = True  # type: ignore[attr-defined]


def forward_of(model: nn.Module) -> str:
    """A sentence on where the model's forward comes from, if its instance has one of its own; empty if not."""
    own = model.__dict__
    module = getattr(own.get("forward"), "__module__", None)
    if module is None or WRAPPED in own:  # what offloading wraps is called
        return ""
    return f" Its forward was replaced, by {module}: if that is another cache, disable it."
