"""Registers `fixed_interval`, `steps` and `always`."""

from lesa_framework import Registrar, hookimpl
from lesa_schedules.schedules import AlwaysConfig, FixedIntervalConfig, StepsConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the schedules."""
    for config in (FixedIntervalConfig, StepsConfig, AlwaysConfig):
        registrar.add_schedule(config)
