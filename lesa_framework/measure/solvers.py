"""Other samplers for plain runs: what fewer steps give when they are not Euler's."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor

from lesa_framework.errors import ConfigError
from lesa_framework.place import Pipeline


@contextmanager
def sampling_with(pipe: Pipeline, name: str) -> Iterator[None]:
    """Within it, the pipeline samples with another solver, on the noise levels that its own sampler makes.

    Args:
        pipe: Its scheduler makes Euler steps along a flow; afterwards it is as before.
        name: UniPC with its order, one of `SamplerName`.

    Raises:
        ConfigError: The pipeline has another scheduler.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    own = getattr(pipe, "scheduler", None)
    if not isinstance(own, FlowMatchEulerDiscreteScheduler):
        _refuse(name, type(own).__name__)
    for setting in ("invert_sigmas", "stochastic_sampling"):
        if own.config.get(setting):
            _refuse(name, f"one with {setting}")
    # Not by assignment: diffusers would write the class into the pipeline's configuration.
    vars(pipe)["scheduler"] = _Solver(own, order=int(name.removeprefix("unipc")))
    try:
        yield
    finally:
        vars(pipe)["scheduler"] = own


def _refuse(name: str, found: str) -> NoReturn:
    raise ConfigError(
        f"samplers: {name} takes the place of FlowMatchEulerDiscreteScheduler, and this pipeline has {found}. Remove "
        "it from `samplers`."
    )


class _Solver:
    """Looks like a pipeline's own scheduler and makes its noise levels, but takes the steps of UniPC."""

    def __init__(self, own: Any, order: int) -> None:
        from diffusers import UniPCMultistepScheduler

        self._own, self._order = own, order
        self._solver = UniPCMultistepScheduler(
            num_train_timesteps=own.config.num_train_timesteps,
            solver_order=order,
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
        )

        @functools.wraps(own.set_timesteps)  # pipelines look up which arguments it takes
        def set_timesteps(*args: Any, **kwargs: Any) -> None:
            own.set_timesteps(*args, **kwargs)
            levels = own.sigmas[:-1]
            self._solver.set_timesteps(sigmas=levels.cpu().double().numpy(), device=levels.device)
            # It has rounded them to whole numbers, and the model is told these.
            self._solver.timesteps = own.timesteps

        self.set_timesteps = set_timesteps

    def __getattr__(self, name: str) -> Any:
        if name == "_own":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._own, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Solver:
        return _Solver(copy.deepcopy(self._own, memo), self._order)

    def step(self, model_output: Tensor, timestep: Any, sample: Tensor, *, return_dict: bool = True) -> Any:
        """One step of the solver, in float32 like the pipeline's own. It keeps a sample, so it gets a copy."""
        output = self._solver.step(model_output.float(), timestep, sample.to(torch.float32, copy=True))
        output.prev_sample = output.prev_sample.to(model_output.dtype)
        return output if return_dict else (output.prev_sample,)
