"""Registers predictors and gates that others published."""

from lesa_framework import Registrar, hookimpl
from lesa_rivals.easycache import EasyCacheConfig
from lesa_rivals.foca import FoCaConfig
from lesa_rivals.hicache import HiCacheConfig
from lesa_rivals.l2p import L2PConfig
from lesa_rivals.magcache import MagCacheConfig
from lesa_rivals.multistep import AdamsBashforthConfig, LagrangeConfig
from lesa_rivals.spectrum import SpectrumConfig
from lesa_rivals.teacache import TeaCacheConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictors, then the schedules."""
    for predictor in (HiCacheConfig, LagrangeConfig, AdamsBashforthConfig, SpectrumConfig, FoCaConfig, L2PConfig):
        registrar.add_predictor(predictor)
    for gate in (TeaCacheConfig, MagCacheConfig, EasyCacheConfig):
        registrar.add_schedule(gate)
