"""Keeps torch from using more threads than there are cores for them."""

from __future__ import annotations

import os
from pathlib import Path

import torch

_CGROUP = Path("/sys/fs/cgroup")


def respect_quota(cgroup: Path = _CGROUP) -> None:
    """Lower torch's number of threads to the container's CPU quota, which torch ignores.

    With 64 visible cores and a quota of 2, 64 threads would take turns and mostly wait for each other. When the user
    has set OMP_NUM_THREADS, nothing changes.
    """
    quota = cpu_quota(cgroup)
    if quota is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), round(quota))))


def cpu_quota(cgroup: Path) -> float | None:
    """How many cores the control group may use, read from its files (version 2 or 1); None without a limit."""
    try:
        if (cgroup / "cpu.max").exists():
            limit, period = (cgroup / "cpu.max").read_text("ascii").split()
        else:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text("ascii").strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text("ascii").strip()
        cores = int(limit) / int(period)
    except (OSError, ValueError):  # no such files, or "max"
        return None
    return cores if cores > 0 else None
