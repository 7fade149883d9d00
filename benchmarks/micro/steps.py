"""A predicted step against its floor, and a whole run against one with as few steps; both from the same runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from benchmarks.micro.methods import predictors
from benchmarks.micro.stages import Attach, Stage
from benchmarks.micro.turns import Line, Part, in_turns
from lesa_framework import LesaError, Peer, ToldPeerFamily
from lesa_framework.measure.counting import Workload, workload_of
from lesa_framework.measure.matching import match
from lesa_framework.plugin.manager import plugins

NUM_STEPS = 50
#: Three to warm up and every seventh: what the paper computes at N = 7.
COMPUTED = (0, 1, 2, 3, 9, 16, 23, 30, 37, 44)
#: The peer that is searched, and the one that is told the steps.
SEARCHED, TOLD = "diffusers_taylorseer_lite", "cache_dit_mask_taylorseer"
_SEARCHING = 30.0
_FLOOR = "floor"


@dataclass(frozen=True)
class _Entry:
    """One thing that takes turns.

    Attributes:
        name: Of its rows.
        family: What similar ones share.
        attach: Attaches it.
        num_steps: How many steps the run has.
        peer: Whether it is another library's.
        settings: A peer's.
    """

    name: str
    family: str
    attach: Attach
    num_steps: int = NUM_STEPS
    peer: bool = False
    settings: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peers:
    """Two other libraries' caches, at the same computed steps or the same work, which do not depend on the batch.

    Attributes:
        found: Those that can be attached, by name.
        notes: About them, and about those that cannot.
    """

    found: Mapping[str, Peer]
    notes: tuple[str, ...]


def steps(stage: Stage, title: str, rounds: int, say: Callable[[str], None], peers: Peers) -> list[Part]:
    """Time the floor, the predictors and peers in turns, in runs of 50 steps of which 10 are computed.

    Args:
        stage: The model.
        title: What it is called.
        rounds: How many turns.
        say: Shows progress.
        peers: What [`look_for_peers`][benchmarks.micro.steps.look_for_peers] found.

    Returns:
        Calls against the floor, and runs against a plain run of ten steps.
    """
    floors, ours, found, plain = _floors(stage), _ours(stage), _theirs(stage, peers), _plain()
    say(f"{title}: {rounds} turns")
    stage.run(plain.num_steps)  # the first run with this batch takes longer than the others
    acts = {each.name: partial(stage.timed, each.num_steps, each.attach) for each in (*floors, *ours, *found, plain)}
    timed = in_turns(acts, rounds, warm_up=False)
    calls = [
        Line(each.name, [_needed(sampled.predicted) for sampled in timed[each.name]], each.family)
        for each in (*floors, *ours)
    ]
    runs = [
        Line(each.name, [sampled.run for sampled in timed[each.name]], each.family, each.settings, each.peer)
        for each in (plain, *ours, *found)
    ]
    return [
        Part(
            f"predicted step, {title}",
            "A predicted call of the transformer against the same model with empty block lists and nothing attached.",
            tuple(calls), stage.batch, NUM_STEPS, len(COMPUTED),
        ),
        Part(
            f"whole run, {title}",
            f"{NUM_STEPS} steps of which {len(COMPUTED)} are computed, against a plain run of {len(COMPUTED)} steps.",
            tuple(runs), stage.batch, NUM_STEPS, len(COMPUTED), peers.notes,
        ),
    ]  # fmt: skip


def warm_up(stage: Stage, peers: Peers) -> None:
    """Run everything that [`steps`][benchmarks.micro.steps.steps] times once, whatever the batch."""
    for each in (*_floors(stage), *_ours(stage), *_theirs(stage, peers), _plain()):
        stage.timed(each.num_steps, each.attach)


def _floors(stage: Stage) -> list[_Entry]:
    between = partial(stage.floor, COMPUTED)
    return [_Entry(_FLOOR, _FLOOR, stage.floor), _Entry("floor between computed steps", _FLOOR, between)]


def _ours(stage: Stage) -> list[_Entry]:
    return [_Entry(each.name, each.family, each.on(stage)) for each in predictors(COMPUTED)]


def _theirs(stage: Stage, peers: Peers) -> list[_Entry]:
    return [
        _Entry(name, name, partial(peer.attach, stage.pipe), NUM_STEPS, True, peer.settings)
        for name, peer in peers.found.items()
    ]


def _plain() -> _Entry:
    return _Entry(f"{len(COMPUTED)} plain steps", "plain", nullcontext, len(COMPUTED))


def _needed(seconds: float | None) -> float:
    assert seconds is not None  # every run has predicted calls
    return seconds


def look_for_peers(stage: Stage) -> Peers:
    """Choose the settings of each peer.

    Args:
        stage: A model; other batches of it need no other settings.
    """
    found, notes = dict[str, Peer](), list[str]()
    workload = workload_of(stage.pipe, NUM_STEPS, partial(stage.run, NUM_STEPS))
    for name, choose in ((SEARCHED, _searched), (TOLD, _told)):
        try:
            found[name], note = choose(stage, workload, name)
        except LesaError as error:
            note = str(error)
        notes += [f"{name}: {note}"] * bool(note)
    return Peers(found, tuple(notes))


def _searched(stage: Stage, workload: Workload, name: str) -> tuple[Peer, str]:
    family = plugins().registry.peers.get(name)
    found = match(family, stage.pipe, workload, len(COMPUTED), seconds=_SEARCHING)
    if found.chosen is None:
        raise LesaError(found.error or "no settings were found")
    work = f"It does the work of {found.chosen.work.flops_nfe:.2f} steps."
    return found.chosen.peer, f"{work} {found.note}".strip()


def _told(stage: Stage, workload: Workload, name: str) -> tuple[Peer, str]:
    family: ToldPeerFamily = plugins().registry.told_peers.get(name)
    refused = family.refusal(stage.pipe)
    if refused is not None:
        raise LesaError(refused)
    return family.at(COMPUTED, stage.pipe, workload), "Told the computed steps; in the others its first block runs."
