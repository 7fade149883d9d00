"""What the entry point names: registers `lagrange` and `class_dit`."""

from __future__ import annotations

from lesa_framework import Registrar, hookimpl
from lesa_lagrange.adapter import ClassDiTAdapter
from lesa_lagrange.predictor import LagrangeConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictor and the adapter."""
    registrar.add_predictor(LagrangeConfig)
    registrar.add_backbone("class_dit", ClassDiTAdapter)
