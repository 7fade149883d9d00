"""An observer that keeps what a run saw, for fits, tests and measurements."""

from __future__ import annotations

from torch import Tensor

from lesa_framework.interfaces.observer import Observer
from lesa_framework.types import RunInfo, StepRecord


class Recorder(Observer):
    """Keeps the records of the run in progress, or of the last one, with its features, its latents or both.

    Args:
        features: Keep a copy of every call's feature, without its graph.
        latents: Keep a copy of the latent of every step, with its graph. All branches of a step see the same latent, so
            it is kept once.

    Attributes:
        records: What each call did, in order.
        features: One for each record.
        latents: One for each step.
    """

    def __init__(self, *, features: bool = True, latents: bool = False) -> None:
        self._keep_features, self._keep_latents = features, latents
        self.records: list[StepRecord] = []
        self.features: list[Tensor] = []
        self.latents: list[Tensor] = []

    @property
    def by_step(self) -> dict[tuple[str, int], Tensor]:
        """(branch, step) -> feature."""
        return {
            (record.branch, record.index): feature for record, feature in zip(self.records, self.features, strict=True)
        }

    def lesa_run_start(self, run: RunInfo) -> None:  # noqa: ARG002 - the hook's signature
        """Forget the previous run."""
        self.records, self.features, self.latents = [], [], []

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:
        """Keep what this recorder records."""
        if self._keep_latents and (not self.records or record.index != self.records[-1].index):
            self.latents.append(latent.clone())  # some samplers write to their own
        if self._keep_features:
            self.features.append(feature.detach().clone())
        self.records.append(record)
