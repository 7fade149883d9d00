"""What vLLM-Omni calls in each of its processes: adds the backend `lesa` to those that it can choose."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

#: (name of the backend, `cache_config`) -> the backend, or None.
Select: TypeAlias = Callable[[str | None, Any], Any]

NAME = "lesa"
SELECTOR = "vllm_omni.diffusion.cache.selector"
#: Has imported the selector's function by its name, if it was loaded before this.
RUNNER = "vllm_omni.diffusion.worker.diffusion_model_runner"
_FUNCTION = "get_cache_backend"


class Selector:
    """Chooses between the engine's own backends and ours.

    Args:
        others: The engine's own choice.
    """

    def __init__(self, others: Select) -> None:
        self._others = others

    def __call__(self, cache_backend: str | None, cache_config: Any) -> Any:
        """The backend with a name."""
        if cache_backend != NAME:
            return self._others(cache_backend, cache_config)
        from vllm_omni.diffusion.data import DiffusionCacheConfig

        from lesa_vllm_omni.backend import LesaCacheBackend

        if cache_config is None or isinstance(cache_config, dict):
            cache_config = DiffusionCacheConfig.from_dict(cache_config or {})
        return LesaCacheBackend(cache_config)


def register() -> None:
    """Add the backend; this is the entry point. Doing it again does nothing.

    vLLM-Omni stops at a plugin that fails, also where nobody asked for this backend, so this does not.
    """
    try:
        selector = import_module(SELECTOR)
    except Exception as error:
        logging.getLogger(__name__).warning("lesa: cache_backend='lesa' is not there. %s: %s", SELECTOR, error)
        return
    found: Select = getattr(selector, _FUNCTION)
    if isinstance(found, Selector):
        return
    chosen = Selector(found)
    for module in (selector, sys.modules.get(RUNNER)):
        if module is not None:
            setattr(module, _FUNCTION, chosen)
