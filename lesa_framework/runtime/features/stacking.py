"""Weights for each channel as one table, which is made once for as long as the weights are the same ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from lesa_framework.runtime.features.weighing import Numbers, Terms


@dataclass(frozen=True)
class _Row:
    """A weight, known by its memory: a row of a tensor is another object at each step.

    A table that is kept keeps its rows too, so that nobody else gets their memory.
    """

    place: tuple[object, ...]
    numbers: Numbers = field(compare=False)


def table_of(terms: Terms) -> Tensor:
    """A row of channels for each weight, and one for the bias, in float32 on the terms' device.

    Args:
        terms: Whose weights and bias are numbers, or have one axis, the channels.
    """
    numbers, channels = (*terms.weights, terms.bias), terms.shape[-1]
    if any(isinstance(each, Tensor) and (each.is_inference() or each.requires_grad) for each in numbers):
        return _stacked(numbers, channels, terms.device)  # nobody counts what is written to them, or they learn
    return _kept(tuple(_Row(_place(each), each) for each in numbers), channels, terms.device)


def _place(numbers: Numbers) -> tuple[object, ...]:
    if not isinstance(numbers, Tensor):
        return (numbers,)
    return numbers.data_ptr(), numbers.shape, numbers.stride(), numbers.dtype, numbers._version


@lru_cache(maxsize=64)  # the predicted steps of a run
def _kept(rows: tuple[_Row, ...], channels: int, device: torch.device) -> Tensor:
    return _stacked(tuple(row.numbers for row in rows), channels, device)


def _stacked(numbers: tuple[Numbers, ...], channels: int, device: torch.device) -> Tensor:
    rows = [each if isinstance(each, Tensor) else torch.full((), each, device=device) for each in numbers]
    return torch.stack([row.to(torch.float32).expand(channels) for row in rows])
