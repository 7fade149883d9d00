"""The contract of peers, as a check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lesa_framework.interfaces.peer import Peer, PeerFamily, ToldPeerFamily
from lesa_framework.testing.conformance.traces import Traces, differences, traces
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

    Checked: it has a name; the peers at the ends of its ladders have one, and settings that a row can show; a peer that
    is attached starts afresh, so that two whole runs give the same; and when it is detached, the pipeline, its class
    and its model are as they were.

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
    called: object = peer.name
    assert isinstance(called, str), f"{where}: the peer's name is {called!r}, not text"
    assert called, f"{where}: the peer has no name"
    bare, before = _run(pipe), _Traces.of(pipe)
    with peer.attach(pipe):
        first, second = _run(pipe), _run(pipe)
    assert torch.equal(first, second), f"{where}: a second run inside one attachment gives something else"
    with peer.attach(pipe):
        again = _run(pipe)
    assert torch.equal(first, again), f"{where}: attached again, it does not start afresh"
    left = _Traces.of(pipe).since(before)
    assert not left, f"{where}: detached, it leaves {left}"
    assert torch.equal(bare, _run(pipe)), f"{where}: detached, the model gives something else"


def _run(pipe: Any) -> Tensor:
    with torch.no_grad():
        result: Tensor = pipe(num_inference_steps=_STEPS)
    return result


@dataclass(frozen=True)
class _Traces:
    """What a cache may leave behind: in the model's modules, in the pipeline, and in the classes of all of them."""

    modules: Traces
    others: dict[str, dict[str, object]]

    @classmethod
    def of(cls, pipe: Any) -> _Traces:
        model = pipe.transformer
        classes = {type(pipe), *(type(module) for module in model.modules())}
        held = {"the pipeline": dict(vars(pipe))} | {f"the class {each.__name__}": dict(vars(each)) for each in classes}
        return cls(traces(model), held)

    def since(self, before: _Traces) -> str:
        """What has changed, in words; empty if nothing has."""
        if differences(before.modules, self.modules):
            return "the model changed: " + "; ".join(differences(before.modules, self.modules))
        for owner, held in self.others.items():
            former = before.others.get(owner, {})
            changed = [name for name in {**former, **held} if former.get(name) is not held.get(name)]
            if changed:
                return f"{owner} changed: {', '.join(sorted(changed))}"
        return ""
