"""Registers `thresholds` and `single`."""

from lesa_framework import Registrar, hookimpl
from lesa_routers.routers import SingleConfig, ThresholdsConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the routers."""
    for config in (ThresholdsConfig, SingleConfig):
        registrar.add_router(config)
