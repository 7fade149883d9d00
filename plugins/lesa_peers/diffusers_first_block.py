"""diffusers' FirstBlockCache: the first block runs, and when it changes little, the others are skipped."""

from __future__ import annotations

from dataclasses import dataclass

from lesa_framework import HasTransformer, Peer, PeerWorkload
from lesa_peers.diffusers_cache import DiffusersCache, DiffusersFamily
from lesa_peers.thresholds import rising


@dataclass(frozen=True)
class DiffusersFirstBlock(DiffusersFamily):
    """diffusers' FirstBlockCache; its threshold is searched."""

    name = "diffusers_first_block_cache"

    def ladders(self, pipe: HasTransformer, workload: PeerWorkload) -> list[list[Peer]]:  # noqa: ARG002 - any model
        """Thresholds from almost no work saved to all that can be saved; there is no other setting.

        They are close together: a few percent of the threshold decide about whole steps.
        """
        return [[self._with(threshold) for threshold in rising(1e-3, 10.0, 256)]]

    def _with(self, threshold: float) -> Peer:
        def config() -> object:
            from diffusers import FirstBlockCacheConfig

            return FirstBlockCacheConfig(threshold=threshold)

        return DiffusersCache(self.name, {"threshold": threshold}, config)
