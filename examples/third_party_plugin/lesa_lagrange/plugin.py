"""What the entry point names: registers `my_lagrange`, `two_tap` and `class_dit`."""

from __future__ import annotations

from lesa_framework import Registrar, hookimpl
from lesa_lagrange.adapter import ClassDiTAdapter
from lesa_lagrange.predictor import LagrangeConfig
from lesa_lagrange.two_tap import TwoTapConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictors and the adapter."""
    registrar.add_predictor(LagrangeConfig)
    registrar.add_predictor(TwoTapConfig)
    registrar.add_backbone("class_dit", ClassDiTAdapter)
