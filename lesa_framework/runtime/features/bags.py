"""Weighted sums on an x86 CPU in one pass over memory: slots of a ring, added up by torch's embedding bag.

A bag is a weighted sum of rows of a table, and torch makes one in registers, by kernels of FBGEMM: each row is read
once, the sum is in float32 and is written once. Here the table is the memory of a ring, cut into rows. Row n of the
result is a bag of the rows n of the slots that are used; other slots are not read.

A table in half precision takes weights in half precision. So each weight is written as a sum of numbers of that dtype,
and the bag has each row once for each of them. Memory is read for the first one only, and the products are exact in
float32. Two numbers are enough as a rule: what they leave out is a 256th of what rounding the result may lose. Where
large weights cancel each other, which would make it more, there are three. FBGEMM rounds to bfloat16 half away from
zero, torch half to even.
"""

from __future__ import annotations

from functools import cache, lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from lesa_framework.runtime.features.weighing import Terms

#: As how many numbers of a dtype a weight is written at most: nothing of its float32 is lost then.
_PARTS = {torch.float32: 1, torch.bfloat16: 3, torch.float16: 3}
#: What fewer numbers may leave out, as a share of what rounding a result of the weights' sum may lose.
_UNSEEN = 2.0**-8
#: A row has as many values as a feature's size allows, in steps of `_STEP`, which are whole lines of a CPU's cache. In
#: wide rows each slot is read for a while before the next one.
_STEP, _WIDEST = 64, 4096
#: What of a weight may be lost, as a share of the largest one: what float32 loses of a sum as well.
_LOST = 2.0**-24


def weigh_in_bags(terms: Terms) -> Tensor | None:
    """Add up slots of one ring.

    Args:
        terms: What; on the CPU, with at least one feature. No gradients are asked for.

    Returns:
        A fresh tensor; None where this way does not fit: features of several rings or in another dtype than the
        result, other weights than numbers, a bias, features of an odd size, or no FBGEMM.
    """
    width = _width(terms.shape.numel())
    if not width or not _has_kernels() or terms.dtype not in _PARTS:
        return None
    *numbers, bias = (None if isinstance(each, Tensor) else each for each in (*terms.weights, terms.bias))
    if bias != 0.0:
        return None
    starts, written = _slots(terms, width), _written(tuple(numbers), terms.dtype)
    if starts is None or written is None:
        return None
    taps, parts = written
    first, bags = terms.features[0], terms.shape.numel() // width
    table = first.as_strided((first.untyped_storage().nbytes() // first.itemsize // width, width), (width, 1), 0)
    rows, offsets = _rows(tuple(starts[tap] for tap in taps), bags)
    weights = parts.expand(bags, -1).reshape(-1)
    made = functional.embedding_bag(
        rows, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )
    return made.view(terms.shape)


@lru_cache(maxsize=64)
def _width(size: int) -> int:
    """How many values of a feature make a row; 0 if none is of use."""
    return next((width for width in range(_WIDEST, 0, -_STEP) if size and not size % width), 0)


@cache
def _has_kernels() -> bool:
    return "fbgemm" in torch.backends.quantized.supported_engines


def _slots(terms: Terms, width: int) -> list[int] | None:
    """The row of the table at which each feature begins; None if they are not in one table."""
    memory, starts = terms.features[0].untyped_storage().data_ptr(), []
    for feature in terms.features:
        start, inside = divmod(int(feature.storage_offset()), width)
        is_slot = feature.is_contiguous() and not inside and feature.dtype is terms.dtype
        if not is_slot or feature.untyped_storage().data_ptr() != memory:
            return None
        starts.append(start)
    return starts


@lru_cache(maxsize=256)
def _written(weights: tuple[float | None, ...], dtype: torch.dtype) -> tuple[tuple[int, ...], Tensor] | None:
    """Weights as sums of numbers of a dtype.

    Args:
        weights: One for each tap; None for a tensor.
        dtype: Of the features.

    Returns:
        The tap that each number is for, and the numbers: as few as lose nothing that could be seen. None if even three
        lose too much of the weights, or for a tensor.
    """
    numbers = [weight for weight in weights if weight is not None]
    if len(numbers) < len(weights):
        return None
    exact = torch.tensor(numbers, dtype=torch.float32, device="cpu")
    unseen = _UNSEEN * torch.finfo(dtype).eps / 2 * exact.sum().abs()
    parts, rest = list[Tensor](), exact
    while not parts or (len(parts) < _PARTS[dtype] and bool(rest.abs().sum() > unseen)):
        parts.append(rest.to(dtype))
        rest = rest - parts[-1].float()
    lost = rest.abs()
    if not bool((lost.sum() <= unseen) | (lost.amax() <= _LOST * exact.abs().amax())):  # nor what is no number
        return None
    order = sorted((tap // 2, part, tap) for part in range(len(parts)) for tap in range(len(numbers)))
    # Two slots at a time, so that two are fetched at once and both are still at hand for their next numbers.
    used = [(tap, parts[part][tap]) for _, part, tap in order if parts[part][tap] != 0]  # infinity times 0 is no number
    return (tuple(tap for tap, _ in used), torch.stack([number for _, number in used])) if used else None


@lru_cache(maxsize=16)
def _rows(starts: tuple[int, ...], bags: int) -> tuple[Tensor, Tensor]:
    """Which rows are in the bags, bag by bag, and where each bag begins and the last one ends."""
    first = torch.tensor(starts, dtype=torch.int32, device="cpu")
    rows = first + torch.arange(bags, dtype=torch.int32, device="cpu")[:, None]
    return rows.view(-1), torch.arange(bags + 1, dtype=torch.int32, device="cpu") * len(starts)
