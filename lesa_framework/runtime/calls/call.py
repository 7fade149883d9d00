"""One call of a transformer, and the branch that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from lesa_framework.branch_names import in_transformer
from lesa_framework.interfaces.host import HostCall


@dataclass(eq=False)  # not frozen, which takes longer: one is made in every call
class Call:
    """One call of the transformer, as its adapter reads it.

    Attributes:
        latent: The current latent.
        condition: What tells branches apart, if the call has it.
        timestep: In the model's units.
        context: The name that the pipeline gave with `cache_context`, if any.
        part: Which of a pipeline's transformers it is; empty for the first.
        told: What the host says of it, where a host samples.
        noise_level: Works out the noise level in [0, 1] when it is asked for: on a GPU that takes kernels, which a
            call whose scheduler knows its step does without. The timestep itself if None.
        offset: The noise level at timestep 0, from where rounding counts.
    """

    latent: Tensor
    condition: Tensor | None
    timestep: Tensor | float
    context: str | None = None
    part: str = ""
    told: HostCall | None = None
    noise_level: Callable[[], Tensor | float] | None = None
    offset: float = 0.0

    @cached_property
    def sigma(self) -> float:
        """The noise level; synchronises once when the timestep lives on another device."""
        # Where each token has a timestep of its own, those of a given frame or picture are without noise.
        level = self.timestep if self.noise_level is None else self.noise_level()
        return float(level.max() if isinstance(level, Tensor) and level.numel() != 1 else level)

    @property
    def sigma_is_free(self) -> bool:
        """Whether reading the noise level needs no synchronisation."""
        return not isinstance(self.timestep, Tensor) or self.timestep.device.type == "cpu"


@dataclass(eq=False)
class Branch:
    """One stream of calls in a run.

    Attributes:
        name: The pipeline's, or a number.
        number: Its number among its transformer's branches, in order of first appearance.
    """

    name: str
    number: int
    part: str
    condition: Tensor | None = None
    context: str | None = None
    latent: Tensor | None = None
    recognised: bool = False  # matched by its conditioning at least once, so order need not tell it

    def is_of(self, call: Call) -> bool:
        """Whether the call has this branch's name or conditioning."""
        if call.context is not None or self.context is not None:
            return call.context == self.context
        if call.condition is None or self.condition is None:
            return call.condition is self.condition
        mine, theirs = self.condition, call.condition
        if mine is theirs:
            return True
        if mine.shape != theirs.shape or mine.device != theirs.device:
            return False
        return mine.data_ptr() == theirs.data_ptr() or (theirs.device.type == "cpu" and torch.equal(mine, theirs))


@dataclass
class Branches:
    """The branches of a run, and which of them were called in the step in progress.

    Every transformer has branches of its own. A branch is known by the pipeline's `cache_context` if there is one,
    else by its conditioning tensor (the tensor itself, kept alive so that its address is not reused), else by its
    place among the calls of the step before.
    """

    _all: list[Branch] = field(default_factory=list)
    _called: list[Branch] = field(default_factory=list)  # in this step, in order
    _before: list[Branch] = field(default_factory=list)  # in the step before

    def end_step(self) -> None:
        """The next call belongs to another step."""
        self._called, self._before = [], self._called

    def take(self, call: Call) -> Branch:
        """The call's branch, a new one if no other fits; it counts as called in this step."""
        branch = self._find(call)
        branch.condition, branch.latent = call.condition, call.latent
        self._called.append(branch)
        return branch

    def steps_on(self, call: Call) -> bool:
        """Whether a call at the level of the one before belongs to another step, with a latent of its own."""
        all_were_called = len(self._called) >= len(self._before) > 0
        return (all_were_called and not self.share(call.latent)) or self.repeats(call)

    def repeats(self, call: Call) -> bool:
        """Whether a branch of this step is called again, with another latent."""
        return not self.share(call.latent) and any(
            branch.part == call.part and branch.is_of(call) for branch in self._called
        )

    def share(self, latent: Tensor) -> bool:
        """Whether a branch of this step was called with this very latent."""
        return any(branch.latent is latent for branch in self._called)

    def _find(self, call: Call) -> Branch:
        for branch in self._all:
            # A branch is called once a step: one that comes twice (skip-layer guidance) is two branches.
            if branch.part == call.part and branch not in self._called and branch.is_of(call):
                branch.recognised = True
                return branch
        by_order = self._by_order(call)
        if by_order is not None:
            return by_order
        new = _new_branch([branch for branch in self._all if branch.part == call.part], call)
        self._all.append(new)
        return new

    def _by_order(self, call: Call) -> Branch | None:
        """New conditioning tensors at every step: fall back on the order of calls in the step before."""
        if call.context is not None:
            return None
        called, before = (
            [branch for branch in calls if branch.part == call.part] for calls in (self._called, self._before)
        )
        order = len(called)
        return before[order] if order < len(before) and not before[order].recognised else None


def _new_branch(others: Sequence[Branch], call: Call) -> Branch:
    """A branch of its own, named by the pipeline or numbered; a name that comes twice is numbered too."""
    number = len(others)
    name = call.context or f"branch{number}"
    twins = sum(branch.context == call.context for branch in others) if call.context else 0
    name += f"#{twins + 1}" if twins else ""
    return Branch(in_transformer(name, call.part), number, call.part, call.condition, call.context)
