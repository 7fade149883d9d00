"""What long work says from its first second: what it will do, and what there is to do it with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from torch import nn

from lesa_framework.api import Pipeline, transformers_of
from lesa_framework.cli import console

_GIB = 2**30


def announce(line: str) -> None:
    """Say it at once, on standard error."""
    console.notices().print(line, markup=False, soft_wrap=True)


def amount(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'s' * (count != 1)}"


def size(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / _GIB:.3g} GiB" if count >= _GIB / 10 else f"{count / 2**20:.3g} MiB"


def room(pipe: Pipeline, out: Path) -> str:
    """What a loaded pipeline takes, and what is left beside it: on its device, and in the folder that is written to."""
    parts = [part for part in vars(pipe).values() if isinstance(part, nn.Module)]
    weights = {weight.data_ptr(): weight.nbytes for part in parts for weight in part.parameters()}
    device = next(next(iter(transformers_of(pipe).values())).parameters()).device
    free = f" with {size(torch.cuda.mem_get_info(device)[0])} free" if device.type == "cuda" else ""
    disk = size(shutil.disk_usage(_existing(out)).free)
    return f"loaded: {size(sum(weights.values()))} of weights on {device}{free}; {disk} are free in {out}"


def _existing(path: Path) -> Path:
    folder = Path(os.path.realpath(path))
    while not folder.exists():
        folder = folder.parent
    return folder
