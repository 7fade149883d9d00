"""The input of a computed step, tuned as a predictor wishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lesa_framework.errors import PluginContractError
from lesa_framework.interfaces.backbone import Arguments, BackboneAdapter
from lesa_framework.runtime.asking import Asking

#: As the sampler asks.
_AS_IT_IS = Asking()


def tuned(adapter: BackboneAdapter, arguments: Arguments, asking: Sequence[Asking | None]) -> Mapping[str, Any]:
    """The arguments of a call that change.

    Args:
        adapter: Knows the latent and the timestep among them.
        arguments: The call's, by name.
        asking: For the branches that come in the call, each in an equal part of the batch, in their order.

    Raises:
        PluginContractError: The adapter's `latent` is of another shape than the argument; `as_given` does not undo it.
    """
    if not any(asking):
        return {}
    wanted = [_as_given(adapter, arguments, each) if each else _AS_IT_IS for each in asking]
    return {
        adapter.latent_argument: _asked_about(arguments[adapter.latent_argument], wanted),
        adapter.timestep_argument: _shifted(adapter, arguments, wanted),
    }


def _as_given(adapter: BackboneAdapter, arguments: Arguments, asking: Asking) -> Asking:
    """What is added to the latent, in the argument's shape."""
    if asking.moved is None:
        return asking
    moved = adapter.as_given(asking.moved, arguments)
    given: Any = arguments[adapter.latent_argument]
    if moved.shape[1:] != given[0].shape:
        raise PluginContractError(
            f"{type(adapter).__name__}: as_given returned samples of {tuple(moved.shape[1:])}, but those in "
            f"'{adapter.latent_argument}' are of {tuple(given[0].shape)}. Override as_given to undo what latent does."
        )
    return replace(asking, moved=moved)


def _asked_about(latent: Any, wanted: Sequence[Asking]) -> Any:
    if isinstance(latent, Tensor):
        return _joined([_moved(part, each) for part, each in zip(latent.chunk(len(wanted)), wanted, strict=True)])
    share = len(latent) // len(wanted)
    return [_moved(sample, wanted[number // share], number % share) for number, sample in enumerate(latent)]


def _moved(latent: Tensor, asking: Asking, sample: int | None = None) -> Tensor:
    scaled = latent * asking.scale
    if asking.moved is None:
        return scaled
    return (scaled + (asking.moved if sample is None else asking.moved[sample])).to(scaled.dtype)


def _shifted(adapter: BackboneAdapter, arguments: Arguments, wanted: Sequence[Asking]) -> Tensor | float:
    before = adapter.timestep(arguments)
    if len(wanted) == 1 and not isinstance(before, Tensor):
        return adapter.shifted(arguments, wanted[0].shift)
    latent, level = adapter.latent(arguments), adapter.noise_level(arguments)
    before = torch.as_tensor(before, device=latent.device)
    after = [_where_noisiest(level, before, adapter.shifted(arguments, each.shift)) for each in wanted]
    if len(after) == 1:
        return after[0]
    samples = latent.shape[0]
    whole = [each if each.ndim and each.shape[0] == samples else each.expand(samples) for each in after]
    return _joined([each.chunk(len(wanted))[number] for number, each in enumerate(whole)])


def _where_noisiest(level: Tensor | float, before: Tensor, after: Tensor | float) -> Tensor:
    """Where tokens have timesteps of their own, those of given frames or pictures are without noise, and stay."""
    moved = torch.as_tensor(after, device=before.device)
    if before.ndim < 2 or not isinstance(level, Tensor):
        return moved
    return torch.where(level == level.amax(tuple(range(1, level.ndim)), keepdim=True), moved, before.to(moved.dtype))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
