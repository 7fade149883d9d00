"""What the entry point names: registers `my_lagrange`, `two_weights` and `class_dit`."""

from __future__ import annotations

from lesa_framework import Registrar, hookimpl
from lesa_lagrange.adapter import ClassDiTAdapter
from lesa_lagrange.predictor import LagrangeConfig
from lesa_lagrange.two_weights import TwoWeightsConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictors and the adapter."""
    registrar.add_predictor(LagrangeConfig)
    registrar.add_predictor(TwoWeightsConfig)
    registrar.add_backbone("class_dit", ClassDiTAdapter)
