"""Registers `fixed_interval`, `steps`, `noise_levels`, `even` and `always`."""

from lesa_framework import Registrar, hookimpl
from lesa_schedules.even import EvenConfig
from lesa_schedules.noise_levels import NoiseLevelsConfig
from lesa_schedules.schedules import AlwaysConfig, FixedIntervalConfig, StepsConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the schedules."""
    for config in (FixedIntervalConfig, StepsConfig, NoiseLevelsConfig, EvenConfig, AlwaysConfig):
        registrar.add_schedule(config)
