"""Registers `flux`."""

from lesa_flux.adapter import FluxAdapter
from lesa_framework import Registrar, hookimpl


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the adapter."""
    registrar.add_backbone("flux", FluxAdapter)
