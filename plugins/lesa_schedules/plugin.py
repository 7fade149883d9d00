"""Registers `fixed_interval`, `steps`, `even` and `always`."""

from lesa_framework import Registrar, hookimpl
from lesa_schedules.even import EvenConfig
from lesa_schedules.schedules import AlwaysConfig, FixedIntervalConfig, StepsConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the schedules."""
    for config in (FixedIntervalConfig, StepsConfig, EvenConfig, AlwaysConfig):
        registrar.add_schedule(config)
