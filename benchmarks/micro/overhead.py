"""What our own code costs in a call, however small the model; and what attaching and detaching cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.full_size.device import Device
from benchmarks.micro.methods import Mean, Method, told
from benchmarks.micro.stages import Stage, tiny
from benchmarks.micro.turns import Line, Part, in_turns
from lesa_framework import Reuse

DEPTHS = (1, 2, 4, 8)
#: In each of two lists.
LAYERS = (2, 8, 32)
_NUM_STEPS = 40


def overhead(device: Device, rounds: int) -> list[Part]:
    """Time predicted calls of a tiny model against its floor, by depth, number of blocks and branches.

    The floor is the same for all: without blocks, their number makes no difference, and a call is of one branch.

    Args:
        device: Where, and whose clock.
        rounds: How many turns.
    """
    cases = {f"depth {depth}": (tiny(device), _mean(depth)) for depth in DEPTHS}
    cases |= {f"{2 * layers} blocks": (tiny(device, layers=layers), _mean(2)) for layers in LAYERS}
    cases["2 branches"] = tiny(device, guidance=2.0), _mean(2)
    bare = tiny(device)
    acts: dict[str, Callable[[], float]] = {"floor": partial(_predicted, bare, None)}
    acts |= {name: partial(_predicted, stage, method) for name, (stage, method) in cases.items()}
    lines = tuple(Line(name, seconds, name.split()[-1]) for name, seconds in in_turns(acts, rounds).items())
    what = "A predicted call of a tiny model against the same call with empty block lists and nothing attached."
    return [Part("overhead of a call", what, lines, 1, _NUM_STEPS)]


def _mean(depth: int) -> Method:
    predictor = Mean(depth) if depth > 1 else Reuse()
    return told("mean", predictor, range(depth))


def _predicted(stage: Stage, method: Method | None) -> float:
    found = stage.timed(_NUM_STEPS, stage.floor if method is None else method.on(stage))
    assert found.predicted is not None  # most steps of the run
    return found.predicted


def attaching(stage: Stage, title: str, rounds: int) -> list[Part]:
    """Time attaching and detaching against one computed call.

    Args:
        stage: The model.
        title: What it is called.
        rounds: How many turns.
    """
    method, device, detached = told("reuse", Reuse(), [0]), stage.device, list[float]()

    def attach() -> float:
        start = device.mark()
        context = method.on(stage)()
        context.__enter__()
        middle = device.mark()
        context.__exit__(None, None, None)
        end = device.mark()
        device.synchronize()
        detached.append(device.between(middle, end))
        return device.between(start, middle)

    def call() -> float:
        found = stage.timed(2)
        assert found.computed is not None
        return found.computed

    found = in_turns({"computed call": call, "attach": attach}, rounds)
    lines = [Line(name, seconds) for name, seconds in found.items()]
    what = "Attaching and detaching a session against one computed call of the transformer."
    return [Part(f"attach and detach, {title}", what, (*lines, Line("detach", detached[1:])), stage.batch)]
