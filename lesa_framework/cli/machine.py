"""What this machine has: free memory and disk, and the most memory that this process has had."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from lesa_framework.devices import peak_memory

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
_STATM = Path("/proc/self/statm")


def free_memory(device: torch.device, cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int | None:
    """Bytes that are free on a device; None where that cannot be told.

    Args:
        device: The GPU, or anything else for the machine's own memory.
        cgroup: The control group's files, which say what a container may use.
        meminfo: What Linux says of its memory.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [each for each in (_available(meminfo), _left_in_container(cgroup)) if each is not None]
    return min(known, default=None)


def free_disk(path: Path) -> int:
    """Bytes that are free where a file or folder is, or will be."""
    folder = Path(os.path.realpath(path))
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def resident() -> int:
    """Bytes of this process that are in memory now; 0 where that cannot be told."""
    try:
        return int(_STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def peak(device: torch.device | None) -> tuple[int, str]:
    """The most memory that was used so far, and by what in words; 0 where that cannot be told.

    Args:
        device: The model's; the process's own memory counts if it is no GPU.
    """
    held = None if device is None else peak_memory(device)
    if held is not None:
        return held, f"on {device}"
    try:
        found: Any = import_module("resource")  # Windows has none
    except ImportError:
        return 0, ""
    usage: Callable[[int], Any] = found.getrusage
    most = int(usage(found.RUSAGE_SELF).ru_maxrss)
    return most * (1 if sys.platform == "darwin" else 1024), "by this process"


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text("ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _left_in_container(cgroup: Path) -> int | None:
    """Memory that a control group of version 2 has left; None without a limit."""
    try:
        limit, used = (int((cgroup / name).read_text("ascii")) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text("ascii").splitlines())
    except (OSError, ValueError):
        return None
    return max(0, limit - used + int(stat.get("inactive_file", 0)))  # cached files make room when they have to
