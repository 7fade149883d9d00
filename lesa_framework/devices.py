"""Which devices this machine has."""

from __future__ import annotations

import torch

from lesa_framework.errors import ConfigError
from lesa_framework.types import HistoryPlace


def available_devices() -> list[str]:
    """The kinds of device that models run on here."""
    available = ["cpu"]
    available += ["cuda"] if torch.cuda.is_available() else []
    available += ["mps"] if torch.backends.mps.is_available() else []
    return available


def check_place(place: HistoryPlace) -> None:
    """Check that features can be kept in a place and read back, which only a try can tell for every kind of device.

    A configuration for another machine can be read and planned, so this is asked when it is put to work.

    Raises:
        ConfigError: They cannot.
    """
    if place.device is None:
        return
    try:
        torch.zeros(1, device=place.device).cpu()
    except Exception as error:  # torch raises a class of its own for each kind of device
        raise ConfigError(
            f"engine.history.device: '{place.device}' cannot keep features on this machine. "
            f"Available: {', '.join(available_devices())}. Leave it out to use the model's device."
        ) from error


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that torch has held on a CUDA device; None on others. Nobody waits for the device.

    Since the process began, or since `torch.cuda.reset_peak_memory_stats` was called, which is not done here.
    """
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
