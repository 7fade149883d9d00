"""Versions and machine, without which a time means little."""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path

import torch

#: Whose versions the numbers depend on.
_PACKAGES = ("lesa-framework", "torch", "diffusers", "transformers", "cache-dit", "hicache-pp")


def environment(device: torch.device, dtype: torch.dtype | None = None, processes: int = 1) -> dict[str, str]:
    """What the numbers of a model on a device depend on.

    Args:
        device: Where the model runs.
        dtype: Its precision; None where no model is loaded yet.
        processes: How many measure at once.
    """
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor(),
        "threads": str(torch.get_num_threads()),
        **({"processes": str(processes)} if processes > 1 else {}),
        **software(),
        "device": device.type,
        **({} if dtype is None else {"precision": str(dtype).removeprefix("torch.")}),
        **(_gpu(device) if device.type == "cuda" else {}),
    }


def processor() -> str:
    """The processor's own name; `platform` knows it on few systems."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text("utf-8").splitlines() if table.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def software() -> dict[str, str]:
    """The libraries and the code that the numbers depend on."""
    return {**versions(_PACKAGES), **versions(_required()), "sources": sources()}


def _required() -> list[str]:
    """What other people's distributions with plugins require, a peer's library for example, as far as it is here.

    What our own need is in `_PACKAGES`. Extras count, because a library may be one.
    """
    distributions = [entry.dist for entry in entry_points(group="lesa")]
    texts = [text for each in distributions if each and each.name != _PACKAGES[0] for text in each.requires or ()]
    names = {re.sub("[-_.]+", "-", re.split(r"[^\w.-]", text)[0]).lower() for text in texts}
    return [name for name in sorted(names) if any(Distribution.discover(name=name))]


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Distribution -> version, or that it is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@cache
def sources() -> str:
    """A hash of the code of this framework and of all installed plugins, which a version does not always tell apart."""
    packages = {__name__.partition(".")[0], *(entry.module.partition(".")[0] for entry in entry_points(group="lesa"))}
    found = hashlib.sha256()
    for spec in map(find_spec, sorted(packages)):
        folders = [] if spec is None else spec.submodule_search_locations or []
        files = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
        if spec is not None and spec.origin and not folders:  # a plugin in a file of its own
            files = [Path(spec.origin)]
        for path in files:
            found.update(path.name.encode())
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def _gpu(device: torch.device) -> dict[str, str]:
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": torch.cuda.get_device_name(device),
        "driver": _driver(),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call] # torch's
        "memory": f"{properties.total_memory / 2**30:.1f} GiB",
        "capability": f"{properties.major}.{properties.minor}",
    }


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return next(iter(printed.split()), "unknown")
