"""Which processes hold parts of a model, and how they decide alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn

from lesa_framework.runtime.strategy import Agree, alone

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

#: Where diffusers keeps what `enable_parallelism` was given, and in its part on sequences the mesh that shares them.
_PARALLEL, _SEQUENCES, _MESH = "_parallel_config", "context_parallel_config", "_flattened_mesh"


@dataclass(frozen=True)
class _Vote:
    """All compute if one wants to.

    Attributes:
        groups: Processes, with the kind of device that their collectives take.
    """

    groups: tuple[tuple[distributed.ProcessGroup, str], ...]

    def __call__(self, compute: bool) -> bool:
        """Exchange the decision, a byte; waits for the others."""
        for group, device in self.groups:
            votes = torch.tensor(compute, dtype=torch.uint8, device=device)
            distributed.all_reduce(votes, distributed.ReduceOp.MAX, group)
            compute = bool(votes)
        return compute


def agreement(models: Iterable[nn.Module]) -> Agree:
    """How the processes that hold parts of these models agree on a decision that depends on data.

    Parts are parameters that are shards of a `DTensor`, as `fully_shard` and `parallelize_module` make them, and
    sequences that diffusers' context parallelism splits. Processes that hold a whole model each, such as replicas of
    `DistributedDataParallel`, serve requests of their own, and do not ask each other.

    Args:
        models: The transformers.

    Returns:
        `alone` when no other process has a part.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return alone
    found: dict[str, tuple[distributed.ProcessGroup, str]] = {}
    for mesh, dimension in (pair for model in models for pair in (*_split_weights(model), *_split_sequences(model))):
        group = mesh.get_group(dimension)
        if group.size() > 1:
            found[group.group_name] = group, mesh.device_type
    return _Vote(tuple(found.values())) if found else alone


def _split_weights(model: nn.Module) -> Iterator[tuple[DeviceMesh, int]]:
    """Meshes, and their dimensions along which a parameter is split; along others it is copied."""
    from torch.distributed.tensor import DTensor

    for parameter in model.parameters():
        if isinstance(parameter, DTensor):
            for dimension, placement in enumerate(parameter.placements):
                if not placement.is_replicate():
                    yield parameter.device_mesh, dimension


def _split_sequences(model: nn.Module) -> Iterator[tuple[DeviceMesh, int]]:
    parallel: Any = model.__dict__.get(_PARALLEL)
    sequences = getattr(parallel, _SEQUENCES, None)
    if sequences is not None:
        yield getattr(sequences, _MESH), 0
