"""Device, driver and versions, so that a time can be read for what it is."""

from __future__ import annotations

import platform
import subprocess

import torch

from benchmarks.full_size.device import Device
from lesa_framework.measure.environment import versions

_PACKAGES = ("lesa-framework", "torch", "diffusers", "cache-dit")


def environment(device: Device) -> dict[str, str]:
    """What the numbers depend on."""
    found = {"device": device.name, "python": platform.python_version(), "machine": platform.machine()}
    found |= versions(_PACKAGES)
    if device.place.type != "cuda":
        return found | {"threads": str(torch.get_num_threads())}
    properties = torch.cuda.get_device_properties(device.place)
    return found | {
        "driver": _driver(),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call] # torch's
        "memory": f"{properties.total_memory / 2**30:.1f} GiB",
        "capability": f"{properties.major}.{properties.minor}",
    }


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told.stdout.strip().splitlines()[0] if told.stdout.strip() else "unknown"
