"""Registers the bundled models and their presets."""

from pathlib import Path

from lesa_framework import NamedModel, Registrar, hookimpl

_HERE = Path(__file__).parent


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register `reference:flux` and every preset."""
    call = {"height": 64, "width": 64, "max_sequence_length": 16, "negative_prompt": "", "true_cfg_scale": 4.0}
    registrar.add_model("reference:flux", NamedModel(_HERE / "models" / "flux", call))
    registrar.add_presets(_HERE / "presets")
