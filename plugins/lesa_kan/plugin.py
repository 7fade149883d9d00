"""Registers `lesa`."""

from lesa_framework import Registrar, hookimpl
from lesa_kan.predictor import LesaPredictorConfig


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictor."""
    registrar.add_predictor(LesaPredictorConfig)
