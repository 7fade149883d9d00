"""Lists of samples, one tensor each, as some models take and return them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lesa_framework.errors import UnsupportedBackboneError


def stacked(samples: Sequence[object], what: str) -> Tensor:
    """Samples of one shape as one tensor, (samples, ...).

    Args:
        samples: The list.
        what: What it is, for the message.

    Raises:
        UnsupportedBackboneError: They are not tensors of one shape.
    """
    tensors = [sample for sample in samples if isinstance(sample, Tensor)]
    if len(tensors) != len(samples) or len({tensor.shape for tensor in tensors}) != 1:
        raise UnsupportedBackboneError(
            f"{what}: a list of {', '.join(named(sample) for sample in samples) or 'nothing'} cannot be cached. "
            "Valid: a tensor, or a list of tensors of one shape. Call the model once for each size."
        )
    return torch.stack(tensors)


def named(value: object) -> str:
    """What a value is, for messages: a tensor's shape, else the class."""
    return f"Tensor{tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
