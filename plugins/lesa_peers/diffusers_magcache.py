"""diffusers' MagCache: a table of how residuals grow, measured once per model, decides which steps are skipped."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass

from lesa_framework import HasTransformer, Peer, PeerError, PeerWorkload
from lesa_peers.diffusers_cache import DiffusersCache, DiffusersFamily
from lesa_peers.thresholds import rising

#: (first share of the steps that is always computed, most steps skipped in a row): diffusers' defaults, then what
#: MagCache's authors call fast, then weaker and weaker limits, for an NFE that needs more.
_LIMITS = ((0.2, 3), (0.1, 5), (0.06, 6), (0.02, 6), (0.02, 1000))


@dataclass(frozen=True)
class DiffusersMagCache(DiffusersFamily):
    """diffusers' MagCache, calibrated on the model; its threshold is searched."""

    name = "diffusers_magcache"

    def ladders(self, pipe: HasTransformer, workload: PeerWorkload) -> list[list[Peer]]:
        """Thresholds, with weaker and weaker limits. The workload is run once to measure the ratios.

        Raises:
            PeerError: Measuring the ratios failed.
        """
        ratios = calibrated(pipe, workload)
        return [
            [self._with(ratios, threshold, retention, skips) for threshold in rising(1e-3, 1e3)]
            for retention, skips in _LIMITS
        ]

    def _with(self, ratios: tuple[float, ...], threshold: float, retention: float, skips: int) -> Peer:
        def config() -> object:
            from diffusers import MagCacheConfig

            return MagCacheConfig(
                threshold=threshold,
                max_skip_steps=skips,
                retention_ratio=retention,
                num_inference_steps=len(ratios),
                mag_ratios=list(ratios),
            )

        settings = {"threshold": threshold, "retention_ratio": retention, "max_skip_steps": skips}
        return DiffusersCache(self.name, settings, config)


def calibrated(pipe: HasTransformer, workload: PeerWorkload) -> tuple[float, ...]:
    """The model's residual ratios, by diffusers' own calibration: it prints them, one list for each branch.

    The configuration takes one list for all branches, so the first one printed (`cond`) is taken.

    Raises:
        PeerError: Nothing was printed, or a list of another length.
    """

    def config() -> object:
        from diffusers import MagCacheConfig

        return MagCacheConfig(calibrate=True, num_inference_steps=workload.num_steps)

    printed = io.StringIO()
    peer = DiffusersCache("diffusers_magcache", {}, config)
    with contextlib.redirect_stdout(printed), peer.attach(pipe):
        workload.run()
    found = re.search(r"\[[\d.,e+\s-]+\]", printed.getvalue())
    ratios = tuple(json.loads(found[0])) if found else ()
    if len(ratios) != workload.num_steps:
        raise PeerError(
            f"MagCache's calibration printed {len(ratios)} ratios for {workload.num_steps} steps, so it cannot be used."
        )
    return ratios
