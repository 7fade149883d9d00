"""Verifies an unverified layout on one call of the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework.errors import PluginContractError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.runtime.model.wrapping import tensors

#: Putting back what was read gives the same output, up to kernels that add in another order.
_TOLERANCE = 1e-3


def verify(model: nn.Module, adapter: BackboneAdapter, output: Any, replay: Callable[[], Any]) -> None:
    """Check that the model's output depends on the stack through the feature alone.

    The random state is left as it was.

    Args:
        model: The transformer.
        adapter: Its layout.
        output: What the model returned on a computed step.
        replay: Runs the same call with the stack bypassed and that step's own feature put back.

    Raises:
        PluginContractError: The outputs differ, so predicted steps would silently be wrong.
    """
    expected = tensors(output)
    with torch.no_grad(), random_state_of(expected):
        first = tensors(replay())
        distance = _distance(first, expected)
        # Dropout outside the stack, in training: no two calls are alike, so nothing can be verified.
        if distance <= _TOLERANCE or _distance(tensors(replay()), first) > _TOLERANCE:
            return
    lists = ", ".join(adapter.blocks)
    raise PluginContractError(
        f"{type(adapter).__name__}: putting the feature back does not give the output of {type(model).__name__}. With "
        f"the blocks of {lists} bypassed and '{adapter.head}' given what it had on this very step, the output is "
        f"off by {distance:.2g} times its norm, and every predicted step would be. Check blocks: does "
        "the output of each of these lists reach the rest of the model through that module alone? Remove those "
        "that go around it. Check head: does it get the hidden state that the last block returned? Check "
        "head_argument: is that argument the hidden state?"
    )


def copied(value: Any) -> Any:
    """A copy of arguments: of tensors, and of lists, tuples and dictionaries of them."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if type(value) in (list, tuple):
        return type(value)(copied(item) for item in value)
    return {name: copied(item) for name, item in value.items()} if type(value) is dict else value


def is_copied(value: Any) -> bool:
    """Whether `copied` copies all of it; other objects, such as a key-value cache, are passed on as they are."""
    if type(value) in (list, tuple):
        return all(map(is_copied, value))
    if type(value) is dict:
        return all(map(is_copied, value.values()))
    return value is None or isinstance(value, Tensor | bool | int | float | str)


def _distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """The greatest relative distance of two tensors of a pair."""
    if [one.shape for one in found] != [one.shape for one in expected]:
        return math.inf
    return max((_relative(*pair) for pair in zip(found, expected, strict=True)), default=0.0)


def _relative(found: Tensor, expected: Tensor) -> float:
    theirs = expected.float()
    norm = float(torch.linalg.vector_norm(theirs))
    if not math.isfinite(norm):
        return 0.0  # the model's own output is broken, with caching or without
    difference = float(torch.linalg.vector_norm(found - theirs))
    if difference == 0:
        return 0.0
    return difference / norm if norm and math.isfinite(difference) else math.inf


def random_state_of(near: Sequence[Tensor]) -> AbstractContextManager[None]:
    """Within it, the random state of these tensors' devices may be changed; then it is as before."""
    devices = {one.device for one in near if one.device.type == "cuda"}
    return torch.random.fork_rng(devices=list(devices))
