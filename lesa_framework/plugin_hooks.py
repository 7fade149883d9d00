"""Passes runs on to the hooks of all plugins."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lesa_framework.interfaces.observer import Observer
from lesa_framework.plugin.manager import plugins
from lesa_framework.report import RunReport
from lesa_framework.types import RunInfo, StepRecord


class PluginHooks(Observer):
    """Passes runs on to the hooks of all plugins."""

    def __init__(self, hook: Any) -> None:  # pluggy's relay has the hooks as attributes that no checker can see
        self._hook = hook

    def lesa_run_start(self, run: RunInfo) -> None:
        """Pass it on."""
        self._hook.lesa_run_start(run=run)

    def lesa_step_end(self, record: StepRecord, latent: Tensor, feature: Tensor) -> None:
        """Pass it on."""
        self._hook.lesa_step_end(record=record, latent=latent, feature=feature)

    def lesa_run_end(self, report: RunReport) -> None:
        """Pass it on."""
        self._hook.lesa_run_end(report=report)


def plugin_observers() -> tuple[Observer, ...]:
    """An observer that calls the plugins' hooks, if any plugin has one."""
    hook: Any = plugins().hook
    watched = (hook.lesa_run_start, hook.lesa_step_end, hook.lesa_run_end)
    return (PluginHooks(hook),) if any(caller.get_hookimpls() for caller in watched) else ()
