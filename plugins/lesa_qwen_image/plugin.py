"""Registers `qwen_image`."""

from lesa_framework import Registrar, hookimpl
from lesa_qwen_image.adapter import QwenImageAdapter


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the adapter."""
    registrar.add_backbone("qwen_image", QwenImageAdapter)
