"""What the tests of the registry register, and how."""

from __future__ import annotations

from typing import Literal

from lesa_framework import BackboneAdapter, CustomBackboneConfig, Registrar, hookimpl
from lesa_framework.testing import TinyDiTAdapter


class WideConfig(CustomBackboneConfig):
    kind: Literal["wide"] = "wide"
    width: int = 4

    def build(self, model) -> BackboneAdapter:
        return TinyDiTAdapter()


def plugin(register):
    """An object with the registration hook, as a plugin's module has."""

    class Plugin:
        @hookimpl
        def lesa_register(self, registrar: Registrar) -> None:
            register(registrar)

    return Plugin()
