"""Registers `hicache`, `lagrange`, `adams_bashforth` and `spectrum`."""

from lesa_framework import Registrar, hookimpl
from lesa_rivals.hicache import HiCacheConfig
from lesa_rivals.multistep import AdamsBashforthConfig, LagrangeConfig
from lesa_rivals.spectrum import SpectrumConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictors."""
    for config in (HiCacheConfig, LagrangeConfig, AdamsBashforthConfig, SpectrumConfig):
        registrar.add_predictor(config)
