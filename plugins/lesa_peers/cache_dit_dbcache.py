"""cache-dit's DBCache: the first blocks always run; the others run, or are skipped and extrapolated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from lesa_framework import HasTransformer, Peer, PeerError, PeerSettings, PeerWorkload
from lesa_peers.pristine import pristine
from lesa_peers.thresholds import rising

#: (blocks that always run, first steps that are always computed): cache-dit's defaults, then choices for more speed.
#: The last ones are for few steps: eight of ten at the start would leave two for all the others.
_LIMITS = ((8, 8), (1, 4), (1, 1))
#: Names of cache-dit's calibrators; the empty name is plain DBCache.
CALIBRATORS = ("", "taylorseer", "dmd", "foca")
#: The same for steps that are told, with the second of the two orders that cache-dit recommends for its TaylorSeer.
TOLD_CALIBRATORS = ("", "taylorseer", "taylorseer2", "dmd", "foca")
#: From this threshold on, cache-dit treats any two steps as equal.
_ALWAYS = 1.0


@dataclass(frozen=True)
class _Family:
    """What cache-dit's families share.

    Attributes:
        calibrator: What extrapolates the residual on cached steps; empty to reuse it.
    """

    prefix: ClassVar[str]
    calibrator: str = ""

    @property
    def name(self) -> str:
        """What the names of its rows begin with."""
        return f"{self.prefix}_{self.calibrator}" if self.calibrator else self.prefix

    def refusal(self, pipe: HasTransformer) -> str | None:
        """Why it cannot be attached; None when it can."""
        return refusal(pipe)


@dataclass(frozen=True)
class DBCache(_Family):
    """cache-dit's DBCache, plain or with one of its calibrators; its residual threshold is searched."""

    prefix = "cache_dit_dbcache"

    def ladders(self, pipe: HasTransformer, workload: PeerWorkload) -> list[list[Peer]]:  # noqa: ARG002 - any model
        """Thresholds, with fewer and fewer blocks and steps that are always computed.

        Where a model has no more blocks than a limit, that limit is skipped: nothing could be cached.

        Raises:
            PeerError: A step calls the transformer more than twice.
        """
        branches = _branches(workload)
        return [
            [
                CacheDit(
                    self.name,
                    self.calibrator,
                    {
                        "residual_diff_threshold": threshold,
                        "Fn_compute_blocks": blocks,
                        "max_warmup_steps": warmup,
                    },
                    workload.num_steps,
                    branches,
                )
                for threshold in (*rising(1e-3, 0.99), _ALWAYS)
            ]
            for blocks, warmup in _LIMITS
            if blocks < workload.blocks
        ]


@dataclass(frozen=True)
class DBCacheMask(_Family):
    """cache-dit's DBCache with a mask of the steps that are computed, and the first block alone in the others."""

    prefix = "cache_dit_mask"

    def at(self, steps: Sequence[int], pipe: HasTransformer, workload: PeerWorkload) -> Peer:  # noqa: ARG002 - any model
        """The mask of these steps; cache-dit takes no fewer than one block that always runs.

        Raises:
            PeerError: A step calls the transformer more than twice.
        """
        mask = tuple(int(step in set(steps)) for step in range(workload.num_steps))
        settings: PeerSettings = {
            "steps_computation_mask": "".join(map(str, mask)),
            "steps_computation_policy": "static",
            "Fn_compute_blocks": 1,
        }
        return CacheDit(self.name, self.calibrator, settings, workload.num_steps, _branches(workload), mask)


@dataclass(frozen=True)
class CacheDit:
    """DBCache with all its settings chosen.

    Attributes:
        name: The name of its family.
        calibrator: What extrapolates the residual on cached steps; empty to reuse it.
        settings: The chosen settings, in cache-dit's own words.
        num_steps: Steps of the sampler.
        branches: Calls of the transformer a step.
        mask: A 1 for each step that is computed, a 0 for each other; empty where a threshold decides.
    """

    name: str
    calibrator: str
    settings: PeerSettings
    num_steps: int
    branches: int
    mask: tuple[int, ...] = ()

    @contextmanager
    def attach(self, pipe: HasTransformer) -> Iterator[None]:
        """Attach the cache; leaving the context detaches it.

        cache-dit patches the pipeline's class: while it is attached, run no other pipeline of that class.

        Raises:
            PeerError: It cannot be attached to this.
        """
        refused = refusal(pipe)
        if refused is not None:
            raise PeerError(refused)
        import cache_dit
        from diffusers import DiffusionPipeline

        target: Any = pipe if isinstance(pipe, DiffusionPipeline) else pipe.transformer
        with pristine(pipe), _quiet():
            try:
                cache_dit.enable_cache(target, self._config(), self._calibrator())
                yield
            finally:
                cache_dit.disable_cache(target)

    def _config(self) -> Any:
        from cache_dit import DBCacheConfig

        chosen: dict[str, object] = dict(self.settings)
        if self.mask:
            chosen["steps_computation_mask"] = list(self.mask)
        return DBCacheConfig(enable_separate_cfg=self.branches == 2, num_inference_steps=self.num_steps, **chosen)

    def _calibrator(self) -> Any:
        from cache_dit import DMDCalibratorConfig, FoCaCalibratorConfig, TaylorSeerCalibratorConfig

        known: Mapping[str, Callable[[], Any]] = {
            "": lambda: None,
            "taylorseer": TaylorSeerCalibratorConfig,
            "taylorseer2": lambda: TaylorSeerCalibratorConfig(taylorseer_order=2),
            "dmd": DMDCalibratorConfig,
            "foca": FoCaCalibratorConfig,
        }
        return known[self.calibrator]()


def _branches(workload: PeerWorkload) -> int:
    """Calls of the transformer a step, where cache-dit can tell them apart."""
    if workload.branches > 2:
        raise PeerError(f"cache-dit distinguishes at most two calls a step, not {workload.branches}.")
    return workload.branches


def refusal(pipe: HasTransformer) -> str | None:
    """Why cache-dit cannot be attached; None when it can."""
    try:
        with _quiet():
            from cache_dit import BlockAdapterRegister
    except ImportError as error:
        return f'cache-dit is not installed ({error}). Install it with `pip install "lesa-framework[bench]"`.'
    if not BlockAdapterRegister.is_supported(pipe.transformer):
        return f"cache-dit has no block adapter for {type(pipe.transformer).__name__}."
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Let cache-dit log only errors inside the context, because it logs to standard output, where results go."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
