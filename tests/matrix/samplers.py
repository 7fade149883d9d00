"""Every sampler that diffusers ships, and what a session makes of it, by what the model is told of its timesteps."""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lesa_framework import LesaWarning, UnsupportedBackboneError
from lesa_framework.testing import TinyDiT
from tests.runtime.sessions import cached

STEPS = 8
OWN = "diffusers.schedulers."


# ------------------------------------------------------------------------------------------------ what there is
class Noise:
    """In place of `torchsde.BrownianInterval`: the increment of an interval, from nothing but its ends."""

    def __init__(self, size: tuple[int, ...], entropy: int, **_: object) -> None:
        self.size, self.entropy = size, entropy

    def __call__(self, begin: Tensor, end: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.entropy + round(1000 * float(begin)))
        return torch.randn(tuple(self.size), generator=generator) * (end - begin).sqrt()


@contextmanager
def torchsde() -> Iterator[None]:
    """Within it, the two samplers that need `torchsde` can be imported without it."""
    if importlib.util.find_spec("torchsde") is not None:
        yield
        return
    stand_in = ModuleType("torchsde")
    stand_in.BrownianInterval = Noise  # type: ignore[attr-defined]
    sys.modules["torchsde"] = stand_in
    try:
        yield
    finally:
        del sys.modules["torchsde"]


@cache
def shipped() -> Mapping[str, type[Any]]:
    """Every scheduler class of the installed diffusers, deprecated ones aside."""
    import diffusers.schedulers

    found: dict[str, type[Any]] = {}
    with torchsde():
        for module in pkgutil.iter_modules(diffusers.schedulers.__path__, OWN):
            if module.name.startswith(f"{OWN}scheduling_"):
                own = vars(importlib.import_module(module.name)).values()
                found |= {each.__name__: each for each in list(own) if _is_sampler(each, module.name)}
    return MappingProxyType(found)


def _is_sampler(value: object, module: str) -> bool:
    return inspect.isclass(value) and value.__module__ == module and "set_timesteps" in dir(value)


TOKENS = "draws tokens, which have no noise level"
#: What diffuses nothing that a transformer of ours makes.
OUTSIDE = MappingProxyType(
    {
        "AmusedScheduler": TOKENS,
        "BlockRefinementScheduler": TOKENS,
        "DiscreteDDIMScheduler": TOKENS,
        "EntropyBoundScheduler": TOKENS,
        "VQDiffusionScheduler": TOKENS,
        "ConsistencyDecoderScheduler": "belongs to a decoder, and has two steps",
        "DDPMWuerstchenScheduler": "belongs to a prior that is no transformer",
        "RFD4ProteinaScheduler": "folds proteins",
        "ScoreSdeVeScheduler": "belongs to a U-Net, and has no `step`",
    }
)
#: Settings with which shipped pipelines use a sampler, where they change what its numbers mean.
SETTINGS = (
    ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    ("FlowMatchEulerDiscreteScheduler", {"use_karras_sigmas": True, "sigma_max": 80.0, "sigma_min": 0.002}),
)


@dataclass(frozen=True)
class Sampler:
    """A sampler with its settings.

    Attributes:
        name: Its class.
        settings: What is not as usual.
    """

    name: str
    settings: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return ", ".join([self.name, *(f"{key}={value}" for key, value in self.settings)])

    def make(self) -> tuple[Any, Tensor]:
        """The sampler, and the timesteps at which a pipeline calls the model."""
        scheduler = shipped()[self.name].from_config(dict(self.settings))
        accepted = inspect.signature(scheduler.set_timesteps).parameters
        angles = "intermediate_timesteps" in accepted
        more = {"intermediate_timesteps": None} if angles else {"stage_index": 0} if "stage_index" in accepted else {}
        scheduler.set_timesteps(STEPS, **more)
        if "sigma_max" in dict(self.settings):  # as Cosmos does
            scheduler.set_timesteps(sigmas=torch.linspace(0, 1, STEPS).tolist())
        return scheduler, scheduler.timesteps[:-1] if angles else scheduler.timesteps


SAMPLERS = (
    *(Sampler(name) for name in sorted(shipped()) if name not in OUTSIDE),
    *(Sampler(name, tuple(settings.items())) for name, settings in SETTINGS),
)

# ------------------------------------------------------------------------------------------------ what a model is told
#: (scheduler, step, timestep) -> the noise level that the model's adapter reads.
Told: TypeAlias = Callable[[Any, int, Tensor], Tensor]


def _counted(scheduler: Any, step: int, timestep: Tensor) -> Tensor:
    return timestep / 1000


def _as_it_is(scheduler: Any, step: int, timestep: Tensor) -> Tensor:
    return timestep


def _angle(scheduler: Any, step: int, timestep: Tensor) -> Tensor:
    return timestep.sin() / (timestep.sin() + timestep.cos())


def _sigma(scheduler: Any, step: int, timestep: Tensor) -> Tensor:
    return scheduler.sigmas[step]


def _ratio(scheduler: Any, step: int, timestep: Tensor) -> Tensor:
    return scheduler.sigmas[step] / (1 + scheduler.sigmas[step])


#: What a pipeline makes of a timestep before its model gets it, and which do.
CALLERS: Mapping[str, tuple[Told, str]] = MappingProxyType(
    {
        "t / 1000": (_counted, "nearly all, with models that count to 1 or to 1000"),
        "t": (_as_it_is, "Stable Audio, Cosmos 1"),
        "σ": (_sigma, "Cosmos Predict 2.5"),
        "σ / (1 + σ)": (_ratio, "Cosmos Predict 2"),
        "sin t / (sin t + cos t)": (_angle, "Sana-Sprint"),
    }
)


@dataclass(frozen=True)
class Outcome:
    """What a session makes of a sampler whose model is told its timesteps in one way.

    Attributes:
        word: `cached`, `refused`, `computed` with a warning, or `-` when the sampler has no such number.
        message: The error or the warning.
        sigmas: The run's noise levels, if there is a grid.
        plan: Of the run.
    """

    word: str
    message: str = ""
    sigmas: tuple[float, ...] = ()
    plan: str = ""


def outcome(sampler: Sampler, caller: str) -> Outcome:
    """Sample from a tiny model with a session in it."""
    scheduler, timesteps = sampler.make()
    told, _ = CALLERS[caller]
    if told in (_sigma, _ratio) and len(getattr(scheduler, "sigmas", ())) != len(timesteps) + 1:
        return Outcome("-")
    pipe: Any = SimpleNamespace(transformer=TinyDiT(), scheduler=scheduler)
    latent, words = torch.linspace(-1, 1, 24).reshape(1, 6, 4), torch.zeros(1, 3, 4)
    with cached(pipe) as session, warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always", LesaWarning)
        try:
            for step, timestep in enumerate(timesteps):
                scale = getattr(scheduler, "scale_model_input", None)
                scaled = latent if scale is None else scale(latent, timestep)
                level = torch.as_tensor(told(scheduler, step, timestep)).reshape(1)
                velocity = pipe.transformer(scaled, level, words, return_dict=False)[0]
                latent = _stepped(scheduler, velocity, step, timesteps, latent)
        except UnsupportedBackboneError as error:
            return Outcome("refused", str(error))
        report = session.report
    ours = [str(warning.message) for warning in caught if warning.category is LesaWarning]
    return Outcome("computed" if ours else "cached", "".join(ours), report.info.sigmas, report.plan())


def _stepped(scheduler: Any, velocity: Tensor, step: int, timesteps: Tensor, latent: Tensor) -> Tensor:
    """The latent after a step; a few samplers want more than the model's output."""
    more: dict[str, Any] = {
        "old_pred_original_sample": None,
        "timestep_back": timesteps[step - 1] if step else None,
        "original_image": latent,
        "mask": torch.ones_like(latent),
        "cur_sampling_step": step,
        "dmd_noisy_tensor": latent,
        "dmd_sigmas": getattr(scheduler, "sigmas", None),
        "dmd_timesteps": timesteps,
        "all_timesteps": timesteps,
    }
    accepted = inspect.signature(scheduler.step).parameters
    wanted = {name: value for name, value in more.items() if name in accepted}
    output, sample = velocity.repeat(1, 1, getattr(scheduler, "n_grid", 1)), latent
    if "dmd_sigmas" in accepted:  # it works on videos alone
        output, sample = (tensor.reshape(1, 1, *latent.shape) for tensor in (velocity, latent))
    after = scheduler.step(output, timestep=timesteps[step], sample=sample, **wanted, return_dict=False)[0]
    return after.reshape(latent.shape)


@cache
def outcomes(sampler: Sampler) -> Mapping[str, Outcome]:
    """What comes of each way to tell the model; tried once in a process."""
    with quiet():
        return {caller: outcome(sampler, caller) for caller in CALLERS}


@contextmanager
def quiet() -> Iterator[None]:
    """Without what diffusers says of settings, and numpy of diffusers."""
    from diffusers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logging.set_verbosity(level)
