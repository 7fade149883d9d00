"""A device without float64, as MPS is one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lesa_framework.testing.pretended import PRETENDED


class WithoutFloat64(TorchDispatchMode):
    """Within `pretended_device()`: refuses whatever makes float64 on the device, or of what is on it.

    A copy to the CPU that casts is one of these: MPS casts before it copies.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        found = [each for each in tree_leaves(made) if isinstance(each, Tensor)]
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        is_wide = any(each.dtype is torch.float64 for each in found)
        if is_wide and any(each.device == PRETENDED for each in (*found, *given)):
            raise TypeError(f"{func}: the device has no float64.")
        return made
