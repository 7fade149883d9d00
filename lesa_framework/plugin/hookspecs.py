"""Every hook that a plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lesa_framework.plugin.markers import hookspec
from lesa_framework.report import RunReport
from lesa_framework.types import RunInfo, StepRecord

if TYPE_CHECKING:
    from lesa_framework.plugin.registry import Registrar


@hookspec
def lesa_register(registrar: Registrar) -> None:
    """Register what the plugin brings. Called once; must import neither diffusers nor pykan."""


@hookspec
def lesa_run_start(run: RunInfo) -> None:
    """A run begins."""


@hookspec
def lesa_step_end(record: StepRecord, latent: Tensor, feature: Tensor) -> None:
    """One branch finished one step; `latent` (the model's input) and `feature` are read-only."""


@hookspec
def lesa_run_end(report: RunReport) -> None:
    """A run was closed: a new one began, a server's request or the session ended."""
