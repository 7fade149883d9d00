"""Registers `hunyuan_video`."""

from lesa_framework import Registrar, hookimpl
from lesa_hunyuan_video.adapter import HunyuanVideoAdapter


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the adapter."""
    registrar.add_backbone("hunyuan_video", HunyuanVideoAdapter)
