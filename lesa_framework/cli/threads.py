"""No more threads than there are cores to run them."""

from __future__ import annotations

import os
from pathlib import Path

import torch

_CGROUP = Path("/sys/fs/cgroup")


def respect_quota(cgroup: Path = _CGROUP) -> None:
    """Lower torch's threads to the container's CPU quota, which torch does not look at.

    With 64 visible cores and a quota of 2, 64 threads would take turns and mostly wait for one another. A
    user's own OMP_NUM_THREADS is left alone.
    """
    quota = cpu_quota(cgroup)
    if quota is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), round(quota))))


def cpu_quota(cgroup: Path) -> float | None:
    """Cores that the control group may use, from version 2 or 1 of its files; None when there is no limit."""
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
