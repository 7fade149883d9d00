"""Registers `reuse`."""

from lesa_framework import Registrar, hookimpl
from lesa_reuse.predictor import ReuseConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictor."""
    registrar.add_predictor(ReuseConfig)
