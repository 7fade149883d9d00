"""Other samplers for plain runs: what fewer steps give when they are not Euler's."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from lesa_framework.errors import ConfigError
from lesa_framework.place import Pipeline

#: UniPC (arXiv 2302.04867) by its order, as diffusers has it.
SOLVERS: Final = {f"unipc{order}": order for order in (1, 2, 3)}


@contextmanager
def sampling_with(pipe: Pipeline, name: str) -> Iterator[None]:
    """Within it, the pipeline samples with another solver, on the noise levels that its own sampler makes.

    Args:
        pipe: Its scheduler makes Euler steps along a flow; afterwards it is as before.
        name: One of `SOLVERS`.

    Raises:
        ConfigError: The pipeline has another scheduler.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    own = getattr(pipe, "scheduler", None)
    if not isinstance(own, FlowMatchEulerDiscreteScheduler):
        raise ConfigError(
            f"samplers: {name} takes the place of FlowMatchEulerDiscreteScheduler, and this pipeline has "
            f"{type(own).__name__}. Remove it from `samplers`."
        )
    # Not by assignment: diffusers would write the class into the pipeline's configuration.
    vars(pipe)["scheduler"] = _Solver(own, SOLVERS[name])
    try:
        yield
    finally:
        vars(pipe)["scheduler"] = own


class _Solver:
    """Looks like a pipeline's own scheduler and makes its noise levels, but takes the steps of UniPC."""

    def __init__(self, own: Any, order: int) -> None:
        from diffusers import UniPCMultistepScheduler

        self._own = own
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
            self._solver.set_timesteps(sigmas=levels.double().cpu().numpy(), device=levels.device)
            # It has rounded them to whole numbers, and the model is told these.
            self._solver.timesteps = own.timesteps

        self.set_timesteps = set_timesteps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """One step of the solver."""
        return self._solver.step(*args, **kwargs)
