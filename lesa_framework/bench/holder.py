"""What peers are attached to."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from lesa_framework.api import transformers_of


class HasTransformer(Protocol):
    """A diffusers pipeline, or anything else that holds a transformer under that name."""

    transformer: nn.Module


def not_one_transformer(pipe: HasTransformer) -> str | None:
    """Why a pipeline has not the one transformer that peers need; None when it has."""
    found = transformers_of(pipe)
    if len(found) == 1:
        return None
    have = ", ".join(found) or "none"
    return f"{type(pipe).__name__} has these transformers: {have}. Peers are attached to pipelines with exactly one."
