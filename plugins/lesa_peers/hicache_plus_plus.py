"""HiCache++: skipped steps get the transformer's output as Hermite polynomials or exponentials forecast it.

The package is a forecaster for a sampling loop. Here it stands in the transformer's place, one state for each guidance
branch and each sample: its exponentials are fitted to all numbers of a feature together, and samples of a batch have
nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lesa_framework import HasTransformer, Peer, PeerError, PeerSettings, PeerWorkload
from lesa_peers.pristine import pristine

#: Names of its forecasts that its authors recommend for a family of models; `auto`, by their word, chooses wrongly.
BACKENDS = ("hermite", "dmd")
#: First steps that are always computed: as in the package's example, and its default.
_FIRST = (4, 2)
#: Outputs that the exponentials are fitted to, as in the package's example.
_HISTORY = 6


@dataclass(frozen=True)
class _Family:
    """What its families share.

    Attributes:
        backend: What it forecasts with.
    """

    backend: str

    def refusal(self, pipe: HasTransformer) -> str | None:  # noqa: ARG002 - it forecasts any output
        """Why it cannot be attached; None when it can."""
        return refusal()


@dataclass(frozen=True)
class HiCache(_Family):
    """HiCache++ with its own rhythm: the first steps, then every n-th; n is searched."""

    @property
    def name(self) -> str:
        """The name of its rows."""
        return f"hicache_pp_{self.backend}"

    def ladders(self, pipe: HasTransformer, workload: PeerWorkload) -> list[list[Peer]]:  # noqa: ARG002 - any model
        """All intervals, with each number of first steps."""
        return [
            [
                HiCachePeer(
                    self.name,
                    {"backend": self.backend, "interval": interval, "first_enhance": first, "history": _HISTORY},
                    workload.num_steps,
                    workload.branches,
                )
                for interval in range(2, workload.num_steps + 1)
            ]
            for first in _FIRST
        ]


@dataclass(frozen=True)
class HiCacheTold(_Family):
    """HiCache++ at the steps that it is told to compute."""

    @property
    def name(self) -> str:
        """What the names of its rows begin with."""
        return f"hicache_pp_{self.backend}_told"

    def at(self, steps: Sequence[int], pipe: HasTransformer, workload: PeerWorkload) -> Peer:  # noqa: ARG002 - any model
        """HiCache++ at these steps."""
        settings: PeerSettings = {
            "backend": self.backend,
            "steps": ", ".join(map(str, steps)),
            "history": _HISTORY,
        }
        return HiCachePeer(self.name, settings, workload.num_steps, workload.branches, frozenset(steps))


@dataclass(frozen=True)
class HiCachePeer:
    """HiCache++ with all its settings chosen.

    Attributes:
        name: The name of its family.
        settings: The chosen settings, in the package's own words.
        num_steps: Steps of the sampler.
        branches: Calls of the transformer a step.
        told: The steps to compute; None where its interval decides.
    """

    name: str
    settings: PeerSettings
    num_steps: int
    branches: int
    told: frozenset[int] | None = None

    @contextmanager
    def attach(self, pipe: HasTransformer) -> Iterator[None]:
        """Attach the forecaster; leaving the context detaches it.

        Raises:
            PeerError: The package is not installed.
        """
        refused = refusal()
        if refused is not None:
            raise PeerError(refused)
        model = pipe.transformer
        with pristine(pipe):
            vars(model)["forward"] = _Forecasting(self, model.forward)
            yield

    def state(self) -> dict[str, Any]:
        """A fresh state of the package. Told steps have no first ones of their own."""
        import hicache_pp

        state: dict[str, Any] = hicache_pp.hicache_init(
            self.num_steps,
            interval=int(self.settings.get("interval", 1)),
            first_enhance=int(self.settings.get("first_enhance", 0)),
            backend=str(self.settings["backend"]),
            history=_HISTORY,
        )
        return state


class _Forecasting:
    """Stands in the place of a transformer's `forward`."""

    def __init__(self, peer: HiCachePeer, bare: Callable[..., Any]) -> None:
        import hicache_pp

        self._peer, self._bare, self._package = peer, bare, hicache_pp
        forecasts: Mapping[str, Callable[[dict[str, Any]], Tensor]] = {
            "hermite": hicache_pp.hicache_forecast,
            "dmd": hicache_pp.dmd_forecast_state,
        }
        self._forecast = forecasts[str(peer.settings["backend"])]
        self._calls = 0
        self._states: dict[int, list[dict[str, Any]]] = {}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        call, branch = divmod(self._calls, self._peer.branches)
        self._calls += 1
        step = call % self._peer.num_steps
        if step == 0:
            self._states.pop(branch, None)
        states = self._states.get(branch, [])
        if {self._skips(state, step) for state in states} == {True}:
            made = torch.stack([self._forecast(state) for state in states])
            return (made,) if named.get("return_dict") is False else self._wrapped(made)
        outcome = self._bare(*arguments, **named)
        output = outcome[0].detach()
        if not states:
            states = self._states[branch] = [self._peer.state() for _ in output]
            for state in states:
                self._skips(state, step)
        for state, sample in zip(states, output, strict=True):
            self._keep(state, sample)
        return outcome

    def _skips(self, state: dict[str, Any], step: int) -> bool:
        """Let the package decide about a step; steps that are told are its interval: every one, or never again."""
        state["step"] = step
        if self._peer.told is not None:
            state["interval"] = 1 if step in self._peer.told else self._peer.num_steps + 1
        return bool(self._package.hicache_decide(state) == "forecast")

    def _keep(self, state: dict[str, Any], sample: Tensor) -> None:
        self._package.hicache_update_derivatives(state, sample)
        if state["backend"] == "dmd":
            self._package.dmd_update_snapshots(state, sample, state["history"])

    @staticmethod
    def _wrapped(made: Tensor) -> Any:
        from diffusers.models.modeling_outputs import Transformer2DModelOutput

        return Transformer2DModelOutput(sample=made)


def refusal() -> str | None:
    """Why HiCache++ cannot be attached; None when it can."""
    try:
        import hicache_pp  # noqa: F401
    except ImportError as error:
        return f'hicache-pp is not installed ({error}). Install it with `pip install "lesa-framework[bench]"`.'
    return None
