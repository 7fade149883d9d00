"""What peers can be attached to."""

from __future__ import annotations

from lesa_framework.api import transformers_of
from lesa_framework.interfaces.peer import HasTransformer


def not_one_transformer(pipe: HasTransformer) -> str | None:
    """Why a pipeline has not the one transformer that peers need; None when it has."""
    found = transformers_of(pipe)
    if len(found) == 1:
        return None
    have = ", ".join(found) or "none"
    return f"{type(pipe).__name__} has these transformers: {have}. Peers are attached to pipelines with exactly one."
