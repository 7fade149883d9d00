"""The filter as one kernel of a GPU: each feature that is used is read once, the result is written once.

Imported only where triton is, and used for tensors on CUDA. With `TRITON_INTERPRET=1` it runs on a CPU, for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lesa_framework.runtime.features.stacking import table_of
from lesa_framework.runtime.features.weighing import Count, Instead, Terms

#: Values that a program of the kernel works on.
BLOCK = 1024


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]
    out,
    failed,
    features,
    weights,
    table,
    bias,
    instead,
    size,
    channels,
    CHECK: tl.constexpr,
    BY_CHANNEL: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    total = tl.full((BLOCK,), 0.0, tl.float32) + bias
    if BY_CHANNEL:
        channel = at % channels
        total += tl.load(table + len(features) * channels + channel, mask=inside, other=0.0)
    for k in tl.static_range(len(features)):
        if BY_CHANNEL:
            weight = tl.load(table + k * channels + channel, mask=inside, other=0.0)
            total += weight * tl.load(features[k] + at, mask=inside, other=0.0).to(tl.float32)
        elif weights[k] != 0.0:  # known when it is launched: those that only fill up are not read
            total += weights[k] * tl.load(features[k] + at, mask=inside, other=0.0).to(tl.float32)
    made = total.to(out.dtype.element_ty)
    if CHECK:
        fails = inside & ((tl.abs(made.to(tl.float32)) < float("inf")) == 0)  # what is no number is not below
        count = tl.sum(fails.to(tl.int32), 0)
        if count > 0:
            made = tl.where(fails, tl.load(instead + at, mask=fails, other=0.0).to(made.dtype), made)
            stay = fails & ((tl.abs(made.to(tl.float32)) < float("inf")) == 0)
            tl.atomic_add(failed, count)
            tl.atomic_add(failed + 1, tl.sum(stay.to(tl.int32), 0))
    tl.store(out + at, made, mask=inside)


def fits(terms: Terms) -> bool:
    """Whether the kernel can add up these: in float32, with numbers or channels on the last axis."""
    return terms.wide == torch.float32 and terms.axes < 2 and 0 < len(terms.features) <= _SIZES[-1]


def weigh_in_triton(terms: Terms, instead: Instead = None) -> tuple[Tensor, Count]:
    """Add up, and replace what is not finite.

    Args:
        terms: What; they have to fit.
        instead: Look for values that are not finite, and take these.

    Returns:
        A fresh tensor, and both numbers of a count, for which nobody waits.
    """
    features = [feature.contiguous() for feature in terms.features]
    made = torch.empty(terms.shape, dtype=terms.dtype, device=terms.device)
    failed = made if instead is None else torch.zeros(2, dtype=torch.int32, device=terms.device)
    by_channel = terms.axes == 1
    if by_channel:
        table, weights, bias = table_of(terms), (0.0,) * len(features), 0.0
    else:
        # Few kernels for all numbers of features: what only fills up has the weight 0.
        missing = next(size for size in _SIZES if size >= len(features)) - len(features)
        table, weights, bias = made, (*map(_number, terms.weights), *(0.0,) * missing), _number(terms.bias)
        features += features[:1] * missing
    launch: Callable[..., Any] = _kernel[(triton.cdiv(made.numel(), BLOCK),)]
    with torch.cuda.device_of(made):  # type: ignore[no-untyped-call] # torch's
        launch(
            made,
            failed,
            tuple(features),
            weights,
            table,
            bias,
            made if instead is None else instead().contiguous(),
            made.numel(),
            terms.shape[-1] if by_channel else 1,
            CHECK=instead is not None,
            BY_CHANNEL=by_channel,
            BLOCK=BLOCK,
        )
    return made, None if instead is None else failed


#: Numbers of features that kernels are made for.
_SIZES = (1, 2, 4, 8, 16, 32)


def _number(given: float | Tensor) -> float:
    assert not isinstance(given, Tensor)  # there are no axes
    return float(given)
