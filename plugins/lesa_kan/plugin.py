"""Registers `lesa`."""

from lesa_framework import Registrar, hookimpl


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictor."""
