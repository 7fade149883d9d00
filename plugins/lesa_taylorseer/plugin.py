"""Registers `taylorseer`."""

from lesa_framework import Registrar, hookimpl
from lesa_taylorseer.predictor import TaylorSeerConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictor."""
    registrar.add_predictor(TaylorSeerConfig)
