"""The contract of peers, as a check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lesa_framework.interfaces.peer import Peer, PeerFamily, ToldPeerFamily
from lesa_framework.testing.tiny_dit import TinyDiT
from lesa_framework.testing.tiny_pipeline import TinyPipeline

_STEPS = 12


@dataclass(frozen=True)
class _Workload:
    """A run of a tiny pipeline."""

    run: Callable[[], object]
    num_steps: int = _STEPS
    branches: int = 1
    blocks: int = 2


def check_peer(family: PeerFamily | ToldPeerFamily) -> str | None:
    """Check a family of peers on a tiny pipeline.

    Checked: it has a name; every peer of a ladder has one, and settings that a row can show; a peer that is attached
    starts afresh, so that two whole runs give the same; and when it is detached, the model is as it was.

    Args:
        family: The family under test.

    Returns:
        Why it refuses the tiny pipeline, if it does: a cache that knows only its own models cannot be checked further
        here. None when everything was checked.

    Raises:
        AssertionError: The family breaks the contract; the message says where.
    """
    name: object = family.name
    assert isinstance(name, str), f"{type(family).__name__}: name is {name!r}, not text"
    assert name, f"{type(family).__name__}: it has no name"
    torch.manual_seed(0)
    pipe: Any = TinyPipeline(TinyDiT())  # its transformer is of a narrower class than a protocol may say
    refusal: object = family.refusal(pipe)
    if refusal is not None:
        assert isinstance(refusal, str), f"{name}: refusal gave {refusal!r}, not a sentence or None"
        return refusal
    for peer in _peers(family, pipe):
        _check_peer(f"{name} with {dict(peer.settings)}", peer, pipe)
    return None


def _peers(family: PeerFamily | ToldPeerFamily, pipe: Any) -> list[Peer]:
    """The ends of every ladder; of a family that is told its steps, one peer."""
    workload = _Workload(lambda: _run(pipe))
    if isinstance(family, ToldPeerFamily):
        return [family.at((0, 4, 8), pipe, workload)]
    ladders: Sequence[Sequence[Peer]] = family.ladders(pipe, workload)
    assert ladders, f"{family.name}: there are no ladders"
    assert all(ladders), f"{family.name}: a ladder has no rungs"
    return [ladder[end] for ladder in ladders for end in (0, -1)]


def _check_peer(where: str, peer: Peer, pipe: Any) -> None:
    assert all(isinstance(value, int | float | str) for value in peer.settings.values()), (
        f"{where}: settings are numbers and text"
    )
    bare, before = _run(pipe), _traces(pipe)
    with peer.attach(pipe):
        first, second = _run(pipe), _run(pipe)
    assert torch.equal(first, second), f"{where}: a second run inside one attachment gives something else"
    with peer.attach(pipe):
        again = _run(pipe)
    assert torch.equal(first, again), f"{where}: attached again, it does not start afresh"
    assert _traces(pipe) == before, f"{where}: detached, it leaves the model changed"
    assert torch.equal(bare, _run(pipe)), f"{where}: detached, the model gives something else"


def _run(pipe: Any) -> Tensor:
    with torch.no_grad():
        result: Tensor = pipe(num_inference_steps=_STEPS)
    return result


def _traces(pipe: Any) -> list[tuple[str, list[str], int]]:
    """What a cache may leave in a model: attributes and hooks."""
    return [
        (name, sorted(module.__dict__), len(module._forward_hooks) + len(module._forward_pre_hooks))
        for name, module in pipe.transformer.named_modules()
    ]
