"""Registers `module`."""

from lesa_framework import Registrar, hookimpl
from lesa_module.config import ModuleConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the kind."""
    registrar.add_custom_backbone(ModuleConfig)
