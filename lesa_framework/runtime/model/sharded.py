"""Features that are parts of a distributed tensor: cached as what this process holds, and put back as they came."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from torch import Tensor, distributed

from lesa_framework.errors import UnsupportedBackboneError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

#: What this process holds of a feature -> the feature as the model had it.
Rejoin: TypeAlias = Callable[[Tensor], Tensor]


def same(feature: Tensor) -> Tensor:
    """A feature that is whole."""
    return feature


def local(feature: Tensor) -> tuple[Tensor, Rejoin]:
    """What this process holds of a feature, without talking to the others, and how to make the like of it again.

    Filters are sums of features, number by number, so that each process can predict its own part.

    Raises:
        UnsupportedBackboneError: The processes hold summands of the feature: what is not linear would go wrong.
    """
    if not _is_distributed(feature):
        return feature, same
    feature = cast("DTensor", feature)
    if any(placement.is_partial() for placement in feature.placements):
        raise UnsupportedBackboneError(
            f"the hidden state that the head is given is a partial sum, a DTensor of {feature.placements}, which "
            "cannot be cached. Let the last block's plan reduce it: give its RowwiseParallel "
            "`output_layouts=Replicate()` or `Shard(...)`."
        )
    return feature.to_local(), partial(
        _joined, feature.device_mesh, feature.placements, feature.shape, feature.stride()
    )


def check_whole(output: Tensor) -> None:
    """Check that a model's output is whole.

    Raises:
        UnsupportedBackboneError: Other processes hold parts of it.
    """
    if _is_distributed(output):
        raise UnsupportedBackboneError(
            "tap 'output': the model returned a DTensor, of which other processes hold parts. Take the tap 'pre_head' "
            "or 'post_norm', or let the model's plan return plain tensors (`use_local_output=True`)."
        )


def _is_distributed(tensor: Tensor) -> bool:
    if type(tensor) is Tensor or not (distributed.is_available() and distributed.is_initialized()):
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def _joined(mesh: Any, placements: Any, shape: Any, stride: Any, part: Tensor) -> Tensor:
    from torch.distributed.tensor import DTensor

    whole: Tensor = DTensor.from_local(part, mesh, placements, run_check=False, shape=shape, stride=stride)
    return whole
