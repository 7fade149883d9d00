"""The cache backend `lesa`. Importing this needs vLLM-Omni."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vllm_omni.diffusion.cache.base import CacheBackend

from lesa_framework import ConfigError, Session, add_plugin
from lesa_framework.serving import Served, ServingOptions, options_from_environment, options_from_mapping
from lesa_vllm_omni import adapters

#: What the engine itself may write there.
_ENGINES = ("num_inference_steps",)
#: Where vLLM-Omni keeps the keys that it does not know, which are ours.
_OTHERS = "_extra_params"


class LesaCacheBackend(CacheBackend):
    """Accelerates the pipeline that the engine loaded.

    Args:
        config: A `DiffusionCacheConfig` made from `cache_config`, which has `config`, `speedup` and `weights`; without
            any of them the environment variables `LESA_CONFIG` and `LESA_SPEEDUP` count.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._served: Served | None = None

    @property
    def session(self) -> Session | None:
        """That of the pipeline; None before there is one."""
        return None if self._served is None else self._served.session

    def enable(self, pipeline: Any) -> None:
        """Accelerate a pipeline.

        Raises:
            ConfigError: `cache_config` is not valid.
            ArtifactError: The weights cannot be used.
            UnsupportedBackboneError: No adapter fits the transformer.
        """
        add_plugin("lesa_vllm_omni", adapters)
        self._served = Served.begin(pipeline, options_of(self.config))
        self.enabled = True

    def refresh(self, pipeline: Any, num_inference_steps: int, verbose: bool = True) -> None:  # noqa: ARG002 - theirs
        """Begin a request.

        Each call of the pipeline has a state of its own, which is freed when it returns, and finds its own number of
        steps; so there is only something to do if the engine has exchanged a transformer.
        """
        if self._served is not None and not self._served.is_still_in(pipeline):
            self._served.end()
            self.enable(pipeline)


def options_of(config: Any) -> ServingOptions:
    """The options in a `DiffusionCacheConfig`.

    Raises:
        ConfigError: A key is unknown or another backend's, or a value is not valid.
        ArtifactError: The weights cannot be read.
    """
    usual = type(config)()
    for field in fields(config):
        if field.name in (*_ENGINES, _OTHERS) or getattr(config, field.name) == getattr(usual, field.name):
            continue
        raise ConfigError(
            f"cache_config.{field.name}: this is for another cache backend. `lesa` takes config, speedup and weights."
        )
    given = vars(config)[_OTHERS]
    return options_from_mapping(given, "cache_config") if given else options_from_environment() or ServingOptions()
