"""Weighted sums of features: each one that is used is read once, and the result is written once.

The result is a fresh tensor: at the tap `output` it leaves the model, and whoever gets it may keep it. Its memory comes
from torch's allocator, which on a GPU has it at hand from the step before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

#: One number, or several that broadcast over a feature.
Numbers: TypeAlias = float | Tensor
#: How many values were not finite, so that others took their place; None where nobody looked. Of two numbers the second
#: one is how many of those others are not finite either.
Count: TypeAlias = Tensor | int | None
#: Returns a feature whose values take the place of those that are not finite; None not to look for any.
Instead: TypeAlias = Callable[[], Tensor] | None

#: In these features are added up as they are.
_WIDE = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Terms:
    """What is added up.

    Attributes:
        features: Of one shape and device.
        weights: One for each feature; tensors are on the features' device, in the dtype of the sum.
        bias: Added to every value; a tensor likewise.
        shape: Of the features.
        dtype: Of the result.
        device: Of the features.
    """

    features: tuple[Tensor, ...]
    weights: tuple[Numbers, ...]
    bias: Numbers
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    @property
    def wide(self) -> torch.dtype:
        """The dtype of the sum: float32, or float64 where any of the features, or the result, is."""
        held = self.features[0].dtype if self.features else self.dtype
        return torch.promote_types(torch.promote_types(held, self.dtype), torch.float32)

    @property
    def is_wide(self) -> bool:
        """Whether the features and the result have the bits of the sum."""
        return self.dtype in _WIDE and all(feature.dtype is self.dtype for feature in self.features)

    @property
    def needs_graph(self) -> bool:
        """Whether gradients may be asked for."""
        if not torch.is_grad_enabled():
            return False
        numbers = (*self.features, *self.weights, self.bias)
        return any(isinstance(each, Tensor) and each.requires_grad for each in numbers)

    @property
    def axes(self) -> int:
        """How many axes the weights and the bias have: 0 for numbers, 1 for channels as the last axis.

        A tensor without axes counts as 1: kernels read it from the device's memory, as they read weights for channels.
        """
        return max((max(each.dim(), 1) for each in (*self.weights, self.bias) if isinstance(each, Tensor)), default=0)


def weigh(terms: Terms, instead: Instead = None) -> tuple[Tensor, Count]:
    """Add up.

    Args:
        terms: What; without features the result is the bias.
        instead: Look for values that are not finite, and take these.

    Returns:
        A fresh tensor, and how many values were replaced; on other devices than the CPU nobody waits for the number.
    """
    if terms.device.type == "cpu" and terms.features and not terms.needs_graph:
        from lesa_framework.runtime.features.on_cpu import weigh_on_cpu

        return weigh_on_cpu(terms, instead)
    if terms.device.type == "cuda" and terms.features and not terms.needs_graph:
        from lesa_framework.runtime.features.fastest import weigh_fastest

        return weigh_fastest(terms, instead)
    return weigh_plainly(terms, instead)


def weigh_plainly(terms: Terms, instead: Instead = None) -> tuple[Tensor, Count]:
    """Add up term by term, on any device; differentiable in everything."""
    total = torch.zeros(terms.shape, dtype=terms.wide, device=terms.device)
    add_up(total, terms.features, terms.weights, terms.bias)
    made = total.to(terms.dtype)
    return (made, None) if instead is None else replaced(made, instead)


def add_up(total: Tensor, features: Iterable[Tensor], weights: Iterable[Numbers], bias: Numbers) -> None:
    """Add to a sum, in place: `sum_k weights[k] * features[k] + bias`."""
    for feature, weight in zip(features, weights, strict=True):
        if isinstance(weight, Tensor):
            total.addcmul_(feature, weight)
        else:
            total.add_(feature, alpha=weight)
    if isinstance(bias, Tensor) or bias:
        total.add_(bias)


def replaced(feature: Tensor, instead: Callable[[], Tensor]) -> tuple[Tensor, Tensor | int]:
    """Replace what is not finite; differentiable.

    Returns:
        The feature, which is the same one where it is known to be finite, and how many values were replaced. On the CPU
        the count has both numbers: there the second one takes time only where values were replaced.
    """
    bad = not_finite(feature)
    count = bad.sum()
    if count.device.type != "cpu":
        return torch.where(bad, instead(), feature), count
    if not int(count):
        return feature, 0
    made = torch.where(bad, instead(), feature)
    return made, torch.stack((count, not_finite(made).sum()))


def not_finite(feature: Tensor) -> Tensor:
    """Which values are NaN or infinite."""
    plain = feature.detach()
    return torch.isnan(plain - plain)  # infinity too; fewer kernels than `isfinite`
