"""Features that are kept on the host while the model runs on a GPU: copied there and back beside the model's work.

A feature leaves when it is appended, and comes back a step before a filter reads it. The copies run on a stream of
their own, from and to pinned memory. The host never waits; the model's stream waits for what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Arrival(Protocol):
    """A copy that was begun."""

    @property
    def tensor(self) -> Tensor:
        """Where it arrives, on the features' device."""

    def wait(self) -> None:
        """Let the device's work that follows wait for it; the host does not wait."""


class Transfers(Protocol):
    """Copies between a device and the host, begun without waiting for them, in the order in which they are asked for.

    Whoever begins one may use the device's tensors afterwards as if it had ended, except those that arrive.
    """

    @property
    def pinned(self) -> bool:
        """Whether slots have to be in pinned memory."""

    def store(self, feature: Tensor, slot: Tensor) -> None:
        """Begin to copy a feature from the device to its slot on the host."""

    def bring(self, slot: Tensor, device: torch.device) -> Arrival:
        """Begin to copy a slot to the device."""


@dataclass(frozen=True)
class Present:
    """A feature that is on the device already."""

    tensor: Tensor

    def wait(self) -> None:
        """There is nothing to wait for."""


@dataclass(frozen=True)
class _CudaArrival:
    tensor: Tensor
    event: torch.cuda.Event

    def wait(self) -> None:
        torch.cuda.current_stream(self.tensor.device).wait_event(self.event)


class CudaTransfers:
    """Copies on a side stream of a CUDA device.

    All copies of one ring share the stream, so that what is stored is there before it is brought back, and a slot is
    not written to again before it was read.

    Args:
        device: The device.
    """

    pinned = True

    def __init__(self, device: torch.device) -> None:
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch's

    def store(self, feature: Tensor, slot: Tensor) -> None:
        """Begin to copy a feature to its slot."""
        self._side.wait_stream(torch.cuda.current_stream(feature.device))  # until it is computed
        with torch.cuda.stream(self._side):
            slot.copy_(feature, non_blocking=True)
        feature.record_stream(self._side)  # its memory is not used again before that

    def bring(self, slot: Tensor, device: torch.device) -> Arrival:
        """Begin to copy a slot to the device, into memory of the model's stream."""
        tensor = torch.empty(slot.shape, dtype=slot.dtype, device=device)
        # The memory may have been another tensor's, which work that is queued still uses.
        self._side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(self._side):
            tensor.copy_(slot, non_blocking=True)
            event = self._side.record_event()
        tensor.record_stream(self._side)  # it may be dropped before it arrives
        return _CudaArrival(tensor, event)


class Away:
    """The features of a ring on the host, as the device sees them.

    Args:
        transfers: Copies them.
        device: The model's.
    """

    def __init__(self, transfers: Transfers, device: torch.device) -> None:
        self._transfers, self._device = transfers, device
        self._here: dict[int, Arrival] = {}

    @property
    def pinned(self) -> bool:
        """Whether slots have to be in pinned memory."""
        return self._transfers.pinned

    @property
    def nbytes(self) -> int:
        """Bytes on the device, of what is about to be read."""
        return sum(arrival.tensor.nbytes for arrival in tuple(self._here.values()))

    def put(self, number: int, slot: Tensor, feature: Tensor) -> None:
        """Begin to store a feature in a slot; until the next `expect` it is on the device too."""
        # A copy on the device first: the model may write to the feature while it is on its way.
        sent = feature.detach().to(slot.dtype, copy=True)
        self._transfers.store(sent, slot)
        self._here[number] = Present(sent)

    def get(self, number: int, slot: Tensor) -> Tensor:
        """What is in a slot, on the device and in the slot's dtype."""
        arrival = self._here.get(number) or self._transfers.bring(slot, self._device)
        arrival.wait()
        return arrival.tensor

    def expect(self, wanted: Iterable[tuple[int, Tensor]]) -> None:
        """Begin to bring back what will be read next, by its number and slot, and free the device of all else."""
        slots = dict(wanted)
        self._here = {number: arrival for number, arrival in self._here.items() if number in slots}
        for number, slot in slots.items():
            if number not in self._here:
                self._here[number] = self._transfers.bring(slot, self._device)


def transfers_between(host: torch.device, device: torch.device) -> Transfers | None:
    """What copies between a history's device and the model's beside its work; None where nothing can."""
    return CudaTransfers(device) if device.type == "cuda" and host.type == "cpu" else None
