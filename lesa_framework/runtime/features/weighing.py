"""Weighted sums of features: each one that is used is read once, and the result is written once.

The result is a fresh tensor: at the tap `output` it leaves the model, and whoever gets it may keep it. Its memory comes
from torch's allocator, which on a GPU has it at hand from the step before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

#: One number, or several that broadcast over a feature.
Numbers: TypeAlias = float | Tensor
#: How many values were not finite and were replaced; None where nobody looked.
Count: TypeAlias = Tensor | int | None
#: Returns a feature whose values take the place of those that are not finite; None not to look for any.
Instead: TypeAlias = Callable[[], Tensor] | None

#: In these features are added up as they are.
_WIDE = (torch.float32, torch.float64)
#: Values that a CPU adds up at a time: few enough for its cache, and enough to call torch seldom.
CHUNK = 262_144


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
        """How many axes the weights and the bias have: 0 for numbers, 1 for channels as the last axis."""
        return max((each.dim() for each in (*self.weights, self.bias) if isinstance(each, Tensor)), default=0)


def weigh(terms: Terms, instead: Instead = None) -> tuple[Tensor, Count]:
    """Add up.

    Args:
        terms: What; without features the result is the bias.
        instead: Look for values that are not finite, and take these.

    Returns:
        A fresh tensor, and how many values were replaced; on other devices than the CPU nobody waits for the number.
    """
    if terms.device.type == "cpu" and terms.features and not terms.needs_graph:
        if terms.shape.numel() <= CHUNK and terms.is_wide:
            return _at_once(terms, instead)
        if terms.axes < 2:
            return _in_chunks(terms, instead)
    if terms.device.type == "cuda" and terms.features and not terms.needs_graph:
        from lesa_framework.runtime.features.fastest import weigh_fastest

        return weigh_fastest(terms, instead)
    return weigh_plainly(terms, instead)


def weigh_plainly(terms: Terms, instead: Instead = None) -> tuple[Tensor, Count]:
    """Add up term by term, on any device; differentiable in everything."""
    total = torch.zeros(terms.shape, dtype=terms.wide, device=terms.device)
    for feature, weight in zip(terms.features, terms.weights, strict=True):
        if isinstance(weight, Tensor):
            total.addcmul_(feature, weight)
        else:
            total.add_(feature, alpha=weight)
    made = total.add_(terms.bias).to(terms.dtype)
    return (made, None) if instead is None else replaced(made, instead)


def replaced(feature: Tensor, instead: Callable[[], Tensor]) -> tuple[Tensor, Tensor | int]:
    """Replace what is not finite; differentiable.

    Returns:
        The feature, which is the same one where it is known to be finite, and how many values were replaced.
    """
    plain = feature.detach()
    bad = torch.isnan(plain - plain)  # infinity too; fewer kernels than `isfinite`
    count = bad.sum()
    if count.device.type == "cpu" and not int(count):
        return feature, 0
    return torch.where(bad, instead(), feature), count


def _at_once(terms: Terms, instead: Instead) -> tuple[Tensor, Count]:
    """Add up what fits into a CPU's cache: as few calls as there are terms, because they take longer than the sums."""
    total = torch.mul(terms.features[0], terms.weights[0])
    for feature, weight in zip(terms.features[1:], terms.weights[1:], strict=True):
        if isinstance(weight, Tensor):
            total.addcmul_(feature, weight)
        else:
            total.add_(feature, alpha=weight)
    if isinstance(terms.bias, Tensor) or terms.bias:
        total.add_(terms.bias)
    if instead is None or math.isfinite(float(total.sum())):
        return total, 0
    return replaced(total, instead)


def _in_chunks(terms: Terms, instead: Instead) -> tuple[Tensor, Count]:
    """Add up a part at a time, so that the sum stays in a CPU's cache until it is rounded and written."""
    made = torch.empty(terms.shape, dtype=terms.dtype)
    if not made.numel():
        return made, 0
    columns = terms.shape[-1:] if terms.axes else ()
    lines = [feature.reshape(-1, *columns) for feature in terms.features]
    out, step = made.view(-1, *columns), max(CHUNK // math.prod(columns), 1)
    add = _Adding(terms, out[:step])
    sums = 0.0
    for start in range(0, len(out), step):
        target = out[start : start + step]
        add([line[start : start + step] for line in lines], target)
        if instead is not None:
            sums += float(target.sum(dtype=terms.wide))
    # A sum of finite values may overflow, so this only says where to look.
    return (made, 0) if math.isfinite(sums) else replaced(made, instead or made.clone)


class _Adding:
    """Adds up parts, in memory of its own where the result has fewer bits than the sum."""

    def __init__(self, terms: Terms, part: Tensor) -> None:
        self._weights, self._bias = terms.weights, terms.bias
        kinds = {terms.dtype, *(feature.dtype for feature in terms.features)}
        self._is_direct = kinds == {terms.wide}
        if not self._is_direct:
            self._total, self._wide = (torch.empty_like(part, dtype=terms.wide) for _ in range(2))

    def __call__(self, parts: list[Tensor], target: Tensor) -> None:
        total = target if self._is_direct else self._total[: len(target)]
        first, weight = parts[0], self._weights[0]
        if self._is_direct:
            torch.mul(first, weight, out=total)
        else:
            total.copy_(first).mul_(weight)
        for part, weight in zip(parts[1:], self._weights[1:], strict=True):
            exact = part if self._is_direct else self._wide[: len(part)].copy_(part)
            if isinstance(weight, Tensor):
                total.addcmul_(exact, weight)
            else:
                total.add_(exact, alpha=weight)
        if isinstance(self._bias, Tensor) or self._bias:
            total.add_(self._bias)
        if not self._is_direct:
            target.copy_(total)
