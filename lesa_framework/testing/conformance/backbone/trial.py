"""What is under test, and the runs that checks compare."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework.grids import even_grid
from lesa_framework.interfaces.backbone import Arguments, BackboneAdapter
from lesa_framework.interfaces.predictor import Predictor
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.runtime.strategy import Strategy
from lesa_framework.session import Session
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages, Mean
from lesa_framework.testing.sampling import ModelCall, attach, sample
from lesa_framework.types import Tap

#: Few steps, so that a suite takes no time; quarters have no rounding error in any dtype.
SIGMAS = even_grid(4)
#: The steps that a cached run computes; it predicts the others.
COMPUTED = (0, 2)


class NotApplicableError(Exception):
    """A check does not apply to this adapter or on this machine; the text says why."""


@dataclass(frozen=True)
class Trial:
    """An adapter at one tap, and how to try it: the arguments of `check_backbone`.

    Runs that several checks compare with are made once, on a model that nothing else uses.

    Attributes:
        alone: Outputs of runs with nothing but one branch, by prompt; made by the checks of branches.
    """

    given: BackboneAdapter | type[BackboneAdapter]
    make_model: Callable[[], nn.Module]
    call: ModelCall
    make_latent: Callable[[int], Tensor]
    refused: Sequence[ModelCall]
    tap: Tap = Tap.PRE_HEAD
    alone: dict[int, list[Tensor]] = field(default_factory=dict, init=False)
    _fresh: dict[tuple[int, int, int], list[Tensor]] = field(default_factory=dict, init=False)

    def new_adapter(self) -> BackboneAdapter:
        """The adapter: a new one if a class was given."""
        return self.given() if isinstance(self.given, type) else self.given

    @cached_property
    def adapter(self) -> BackboneAdapter:
        """The adapter; not to be changed."""
        return self.new_adapter()

    @cached_property
    def reference(self) -> nn.Module:
        """The model on which runs to compare with are made."""
        return self.make_model()

    def latent(self, size: int = 1, batch: int = 1) -> Tensor:
        """A latent that nothing else holds; samples of a batch differ."""
        latent = self.make_latent(size)
        return torch.cat([latent * (1 - 0.25 * sample) for sample in range(batch)])

    def sample(
        self, model: nn.Module, *, prompt: int = 1, size: int = 1, batch: int = 1, steps: int = len(SIGMAS) - 1
    ) -> list[Tensor]:
        """A run: the model's output at every step, on the latent's device."""

        def call(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
            return self.call(model, latent, sigma, prompt).to(latent.device)

        return sample(model, call, self.latent(size, batch), SIGMAS[: steps + 1], prompt=prompt)

    def attach(
        self,
        model: nn.Module,
        computed: Collection[int] | None = COMPUTED,
        predictor: Predictor | None = None,
        recorder: Recorder | None = None,
    ) -> Session:
        """A session that computes the given steps, all of them when None, and predicts the others."""
        strategy = Strategy(ComputeSteps(computed), EqualStages(), predictor or Mean())
        return attach(model, self.new_adapter(), strategy, SIGMAS, self.tap, [recorder] if recorder else [])

    def arguments(self, sigma: float) -> Arguments:
        """What an adapter is given to read in a call at a noise level."""
        model = self.make_model()
        seen: list[Arguments] = []
        adapter = copy(self.new_adapter())  # for one that was given is somebody's

        def refuse(_: nn.Module, arguments: Arguments) -> None:  # asked at each call, before anything else
            seen.append(arguments)

        vars(adapter)["refuse"] = refuse
        strategy = Strategy(ComputeSteps(), EqualStages(), Mean())
        with attach(model, adapter, strategy, SIGMAS, self.tap), torch.no_grad():
            self.call(model, self.latent(), sigma, 1)
        assert seen, "call: it did not call the model"
        return seen[0]

    @cached_property
    def computed(self) -> tuple[list[Tensor], Recorder]:
        """A run that computes every step: its outputs, and what was recorded."""
        recorder = Recorder()
        with self.attach(self.reference, None, recorder=recorder):
            return self.sample(self.reference), recorder

    def fresh(self, *, prompt: int = 1, size: int = 1, batch: int = 1) -> list[Tensor]:
        """The outputs of a cached run in a session that has seen no other run."""
        key = (prompt, size, batch)
        if key not in self._fresh:
            with self.attach(self.reference):
                self._fresh[key] = self.sample(self.reference, prompt=prompt, size=size, batch=batch)
        return self._fresh[key]

    def require(self, outputs: Sequence[Tensor], expected: Sequence[Tensor], claim: str) -> None:
        """Both are equal, bit for bit.

        Raises:
            AssertionError: They are not; the message holds the claim, the step and the difference.
        """
        for step, (mine, theirs) in enumerate(zip(outputs, expected, strict=True)):
            assert mine.shape == theirs.shape, (
                f"step {step}: {claim}; the shapes are {tuple(mine.shape)} and {tuple(theirs.shape)}"
            )
            assert torch.equal(mine, theirs), (
                f"step {step}: {claim}; the outputs differ by up to {(mine - theirs).abs().max():.3g}"
            )


@contextmanager
def counted(groups: Mapping[str, Sequence[nn.Module]]) -> Iterator[dict[str, int]]:
    """Counts the calls of modules, by the name of their group."""
    calls = dict.fromkeys(groups, 0)

    def counter(name: str) -> Callable[..., None]:
        def count(*_: Any) -> None:
            calls[name] += 1

        return count

    handles = [
        module.register_forward_pre_hook(counter(name)) for name, modules in groups.items() for module in modules
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def blocks(model: nn.Module, adapter: BackboneAdapter) -> dict[str, list[nn.Module]]:
    """The blocks of each list that an adapter names."""
    return {path: list(model.get_submodule(path).children()) for path in adapter.blocks}
