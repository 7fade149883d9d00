"""Caches of other libraries: their own code on a diffusers pipeline, at told steps or at the settings of the tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from benchmarks.recompute.formulas import Array
from benchmarks.recompute.plain import STEPS

#: Outputs that HiCache++'s exponentials are fitted to.
_OUTPUTS = 6


class HiCache:
    """HiCache++'s forecasts of one branch's outputs, in the model's float32.

    Each sample has a state of its own, because exponentials are fitted to all numbers of a state together.

    Args:
        backend: `hermite` or `dmd`.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.states: list[dict[str, Any]] = []

    def see(self, step: int, feature: Array) -> None:
        from hicache_pp import dmd_update_snapshots, hicache_init, hicache_update_derivatives

        if not self.states:
            self.states = [hicache_init(STEPS, backend=self.backend, history=_OUTPUTS) for _ in feature]
        for state, sample in zip(self.states, torch.from_numpy(feature).float(), strict=True):
            # What `hicache_decide` notes of a step that its interval computes.
            state["activated_steps"].append(step)
            hicache_update_derivatives(state, sample)
            dmd_update_snapshots(state, sample)

    def guess(self, step: int) -> Array:
        from hicache_pp import dmd_forecast_state, hicache_forecast

        forecast = dmd_forecast_state if self.backend == "dmd" else hicache_forecast
        for state in self.states:
            state["step"] = step
        return np.stack([forecast(state).double().numpy() for state in self.states])


def hicache_steps(interval: int, first: int) -> list[int]:
    """The steps that HiCache++ computes where nobody tells it.

    Args:
        interval: A step is computed, and the next `interval - 1` are not.
        first: How many first steps are all computed.
    """
    from hicache_pp import hicache_decide, hicache_init, hicache_update_derivatives

    state = hicache_init(STEPS, interval=interval, first_enhance=first)
    computed = []
    for step in range(STEPS):
        state["step"] = step
        if hicache_decide(state) == "full":
            computed.append(step)
            hicache_update_derivatives(state, torch.zeros(1))
    return computed


@contextmanager
def unipc(pipe: Any, order: int) -> Iterator[None]:
    """diffusers' UniPC in place of the pipeline's sampler, on the noise levels that this makes: even ones, shifted."""
    from diffusers import UniPCMultistepScheduler

    class Shifted(UniPCMultistepScheduler):
        def set_timesteps(
            self,
            num_inference_steps: int | None = None,
            device: Any = None,
            sigmas: Sequence[float] | None = None,
            mu: float | None = None,
        ) -> None:
            # FLUX's pipeline gives none to a sampler like this one.
            even = np.linspace(1, 1 / num_inference_steps, num_inference_steps) if sigmas is None else np.array(sigmas)
            shifted = shift * even / (1 + (shift - 1) * even)
            super().set_timesteps(device=device, sigmas=shifted.copy(), mu=mu)
            self.timesteps = torch.from_numpy(1000 * shifted).float()  # it has rounded them to whole numbers

    own, shift = pipe.scheduler, pipe.scheduler.config.shift
    settings = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    pipe.scheduler = Shifted(solver_order=order, **settings)
    try:
        yield
    finally:
        pipe.scheduler = own


@contextmanager
def diffusers_taylorseer(pipe: Any, interval: int, lite: bool) -> Iterator[None]:
    """diffusers' TaylorSeer; it leaves traces in a pipeline."""
    from diffusers import TaylorSeerCacheConfig

    config = TaylorSeerCacheConfig(cache_interval=interval, taylor_factors_dtype=torch.float32, use_lite_mode=lite)
    pipe.transformer.enable_cache(config)
    try:
        yield
    finally:
        pipe.transformer.disable_cache()


@contextmanager
def cache_dit(pipe: Any, computed: Sequence[int], calibrator: str) -> Iterator[None]:
    """cache-dit, told its steps.

    Args:
        pipe: It leaves traces in the pipeline and in its classes.
        computed: The steps.
        calibrator: `taylorseer` with its order 1, `taylorseer2` with order 2, or `dmd`.
    """
    logging.disable(logging.WARNING)
    import cache_dit  # it changes transformers' and diffusers' classes, so only where it is asked for

    calibrators = {
        "taylorseer": lambda: cache_dit.TaylorSeerCalibratorConfig(taylorseer_order=1),
        "taylorseer2": lambda: cache_dit.TaylorSeerCalibratorConfig(taylorseer_order=2),
        "dmd": cache_dit.DMDCalibratorConfig,
    }
    config = cache_dit.DBCacheConfig(
        enable_separate_cfg=True,
        num_inference_steps=STEPS,
        steps_computation_mask=[int(step in computed) for step in range(STEPS)],
        steps_computation_policy="static",
        Fn_compute_blocks=1,
    )
    try:
        cache_dit.enable_cache(pipe, config, calibrators[calibrator]())
        yield
    finally:
        cache_dit.disable_cache(pipe)
        logging.disable(logging.NOTSET)
