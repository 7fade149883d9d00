"""Several processes that one launcher started for one job: who has which share, and sums over all of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

import torch
from torch import Tensor, distributed, nn
from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined] # its documentation has them there

from lesa_framework.errors import LesaError
from lesa_framework.launcher import Launch, launched

#: How long a process waits for the others: as long as a share of theirs may take.
PATIENCE = timedelta(minutes=30)
#: How often this process has met the others; theirs as well.
_meetings = count()


@dataclass(frozen=True)
class World:
    """The processes of a job; by default there is one.

    What is exchanged are small tensors on the CPU, so that gloo serves for every kind of device. All processes have to
    exchange the same things in the same order. The results are the same in all, bit for bit.

    Attributes:
        rank: The number of this one.
        size: How many there are.
        group: How they talk to each other; None for one.
    """

    rank: int = 0
    size: int = 1
    group: distributed.ProcessGroup | None = field(default=None, compare=False, repr=False)

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of `count` items are this process's: a range of them, and never one more than another process's + 1."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes; of one, the values themselves.

        Args:
            values: Of the same shape everywhere.

        Returns:
            On the values' device and in their dtype; summed in float64.

        Raises:
            LesaError: Another process ended, or does not answer.
        """
        if self.group is None:
            return values
        # Cast on the CPU: MPS has no float64, not even for what is on its way there.
        total = values.detach().cpu().to(torch.float64, copy=True)
        with self._together():
            distributed.all_reduce(total, group=self.group)
        return total.to(values)

    def mean(self, value: float, share: float) -> float:
        """The mean over all samples, from each process's mean over its own.

        Args:
            value: This process's mean.
            share: Its samples over those of all; where it is 0, the value does not count.
        """
        return float(self.sum(torch.tensor(value * share if share else 0.0, dtype=torch.float64, device="cpu")))

    def of_first(self, value: float) -> float:
        """The first process's value, such as its clock's: what depends on it then goes alike in all."""
        return float(self.sum(torch.tensor(value if self.is_first else 0.0, dtype=torch.float64, device="cpu")))

    def wait(self) -> None:
        """Wait until all processes are here, such as for files that the first one writes."""
        self.sum(torch.zeros(1))

    def sum_gradients(self, parameters: Iterable[nn.Parameter], share: float) -> None:
        """Give parameters the gradient of the mean over all samples; call it after `backward`.

        Args:
            parameters: Those without a gradient are left alone, and have none in any process.
            share: As for `mean`.
        """
        held = [parameter for parameter in parameters if parameter.grad is not None]
        if self.group is None or not held:
            return
        mine = torch.cat([each.grad.detach().flatten().cpu().double() for each in held if each.grad is not None])
        total = self.sum(mine * share if share else torch.zeros_like(mine))
        done = 0
        for parameter in held:
            parameter.grad = total[done : done + parameter.numel()].view_as(parameter).to(parameter)
            done += parameter.numel()

    def rows(self, rows: Tensor) -> Tensor:
        """The rows of all processes, those of the first one first.

        Args:
            rows: On the CPU, any number of them, of the same size and dtype everywhere.

        Raises:
            LesaError: Another process ended, or does not answer.
        """
        if self.group is None:
            return rows
        with self._together():
            mine = torch.tensor([len(rows)], device="cpu")
            counts = [torch.zeros_like(mine) for _ in range(self.size)]
            distributed.all_gather(counts, mine, group=self.group)
            longest = max(int(count) for count in counts)
            padded = rows.new_zeros(longest, *rows.shape[1:])
            padded[: len(rows)] = rows
            parts = [torch.empty_like(padded) for _ in range(self.size)]
            distributed.all_gather(parts, padded, group=self.group)
        return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])

    def agrees(self, digest: bytes) -> bool:
        """Whether all processes have the same bytes, as many everywhere."""
        mine = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
        return bool((self.rows(mine[None]) == mine).all())

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # of the many that gloo raises
            raise LesaError(
                f"process {self.rank} of {self.size}: another process has ended or does not answer, so this one ends "
                "too. If the other one failed, its own message says why; if it left none, it may have been killed, as "
                "happens when memory runs out. The same command resumes from what was saved, if anything was."
            ) from error


#: One process.
ALONE = World()


@contextmanager
def joined(patience: timedelta = PATIENCE) -> Iterator[World]:
    """The processes that `torchrun` or `accelerate launch` started together with this one, while the block lasts.

    Args:
        patience: How long to wait for the others.

    Raises:
        LesaError: The others cannot be reached.
    """
    launch = launched()
    if launch is None:
        yield ALONE
        return
    was_there = distributed.is_initialized()
    try:
        # Where a group is there, it may have another backend.
        group = distributed.new_group(backend="gloo", timeout=patience) if was_there else _met(launch, patience)
    except (RuntimeError, ValueError) as error:  # nobody answers, or the port is no number
        raise LesaError(
            f"process {launch.rank} of {launch.size}: the others cannot be reached at {launch.host}:{launch.port}, "
            "where RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say that they are. Start all of them with one "
            "launcher, such as torchrun, or unset these variables to use one process."
        ) from error
    try:
        yield World(launch.rank, launch.size, group)
    finally:
        distributed.destroy_process_group(group if was_there else None)


def _met(launch: Launch, patience: timedelta) -> distributed.ProcessGroup | None:
    """The group of all processes."""
    store, _, _ = next(rendezvous("env://", timeout=patience))
    # A launcher's store outlives a group, and where a process of an earlier group could be reached must not be found.
    store = PrefixStore(f"lesa/{next(_meetings)}", store)
    distributed.init_process_group("gloo", store=store, rank=launch.rank, world_size=launch.size, timeout=patience)
    return distributed.group.WORLD


def device_of_process(device: str | None) -> str | None:
    """The device of this process, when processes share a machine with several GPUs.

    Args:
        device: What the user asked for; None for any.

    Returns:
        With `cuda` or None on a machine with a GPU for each process: the process's own. Else what the user asked for.
    """
    local = os.environ.get("LOCAL_RANK", "")  # from the launcher
    if device not in (None, "cuda") or not local.isdecimal() or int(local) >= torch.cuda.device_count():
        return device
    return f"cuda:{local}"
