"""One text for what was asked for: files on the disk belong to it if theirs is the same."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def canonical(value: object) -> str:
    """JSON with sorted keys, in which tensors, arrays and pictures go by a hash of their numbers.

    Args:
        value: Lists and dicts of JSON values and anything else. What is not JSON goes by its `str` without its address
            in memory, which differs from process to process.
    """
    return json.dumps(value, sort_keys=True, default=_told)


def _told(value: Any) -> str:
    if isinstance(value, Tensor):
        # numpy lacks some of torch's dtypes
        numbers = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return _hashed(f"{value.dtype} {tuple(value.shape)}", numbers)
    if isinstance(value, np.ndarray):
        return _hashed(f"{value.dtype} {value.shape}", value.tobytes())
    if hasattr(value, "getpalette"):  # a picture of PIL, which need not be installed
        return _hashed(f"{value.mode} {value.size}", value.tobytes() + bytes(value.getpalette() or ()))
    return _ADDRESS.sub("", str(value))


def _hashed(sort: str, content: bytes) -> str:
    return f"{sort} sha256:{hashlib.sha256(content).hexdigest()}"
