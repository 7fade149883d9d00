"""Registers `fitted`."""

from lesa_fitted.predictor import FittedPredictorConfig
from lesa_framework import Registrar, hookimpl


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the predictor."""
    registrar.add_predictor(FittedPredictorConfig)
