"""diffusers' TaylorSeer: by default every attention module extrapolates its output; lite, only the last projection."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lesa_framework import HasTransformer, Peer, PeerWorkload
from lesa_peers.diffusers_cache import DiffusersCache, DiffusersFamily


@dataclass(frozen=True)
class DiffusersTaylorSeer(DiffusersFamily):
    """diffusers' TaylorSeer, the default or the lite one; its interval is searched.

    Attributes:
        lite: Skip the blocks and extrapolate the output of `proj_out`.
    """

    lite: bool = False

    @property
    def name(self) -> str:
        """The name of its rows."""
        return "diffusers_taylorseer_lite" if self.lite else "diffusers_taylorseer"

    def ladders(self, pipe: HasTransformer, workload: PeerWorkload) -> list[list[Peer]]:
        """All intervals; the factors are kept in the model's own precision."""
        dtype = next(pipe.transformer.parameters()).dtype
        return [[self._with(interval, dtype) for interval in range(2, workload.num_steps + 1)]]

    def _with(self, interval: int, dtype: torch.dtype) -> Peer:
        def config() -> object:
            from diffusers import TaylorSeerCacheConfig

            return TaylorSeerCacheConfig(cache_interval=interval, taylor_factors_dtype=dtype, use_lite_mode=self.lite)

        return DiffusersCache(self.name, {"cache_interval": interval}, config)
