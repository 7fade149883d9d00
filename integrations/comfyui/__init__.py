"""ComfyUI nodes of LESA Framework. Copy or clone this folder into ComfyUI's `custom_nodes`."""

try:
    import lesa_framework  # noqa: F401 - the error without it says what to do
except ModuleNotFoundError as error:
    if error.name != "lesa_framework":
        raise
    raise ImportError(
        "The LESA nodes need the package lesa-framework. Install it into the Python that runs ComfyUI: "
        "python -m pip install lesa-framework"
    ) from None

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
