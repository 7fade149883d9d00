"""One call of a pipeline: its settings and seeds, its images as floats and its final latents."""

from __future__ import annotations

import functools
import inspect
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from lesa_framework.backbones import find_adapter
from lesa_framework.call_arguments import expanded_call
from lesa_framework.errors import ConfigError, UnsupportedBackboneError, is_out_of_memory
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.place import transformers_of
from lesa_framework.runtime.calls.grid import SchedulerGrid
from lesa_framework.types import Samples

#: Called after every step with the step's number.
StepCallback = Callable[[int], None]

#: Arguments that are set here; a user's value would break seeds, pairing or the format of the result.
OURS: Final = frozenset(
    {
        "prompt", "generator", "latents", "output_type", "return_dict", "num_inference_steps", "sigmas", "timesteps",
        "callback_on_step_end", "callback_on_step_end_tensor_inputs", "num_images_per_prompt",
    }
)  # fmt: skip


class GenerationSettings(BaseModel):
    """How a pipeline is called, prompts and seeds aside."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    num_steps: int = Field(50, ge=1)
    """Steps of the sampler."""
    call: dict[str, Any] = Field(default_factory=dict)
    """Further keyword arguments of the pipeline, such as height and width."""

    def with_steps(self, num_steps: int) -> GenerationSettings:
        """The same call with another number of steps."""
        return self.model_copy(update={"num_steps": num_steps})


def check_call(pipe: CallablePipeline, call: Mapping[str, object]) -> None:
    """Refuse arguments that the pipeline does not take.

    Raises:
        ConfigError: It does not take them, or they are set by the command.
    """
    accepted = _parameters(pipe)
    name = type(pipe).__name__
    for needed in ("prompt", "num_inference_steps"):
        if needed not in accepted:
            raise ConfigError(f"model: {name} takes no {needed}, so it cannot be run here.")
    valid = sorted(key for key in accepted if key != "self" and key not in OURS)
    for key, value in call.items():
        if key in accepted and key.startswith("num_") and key.endswith("_per_prompt") and value != 1:
            raise ConfigError(
                f"--call {key}: each prompt makes one sample of each seed here. `lesa generate` makes more of one "
                "prompt with `--count`."
            )
        if key in OURS:
            raise ConfigError(f"--call {key}: is set by the command; use its own arguments and options instead.")
        if key not in valid:
            raise ConfigError(f"--call {key}: {name} does not take it. Valid: {', '.join(valid)}.")


def check_pictures(pipe: CallablePipeline, sample: Sequence[int]) -> None:
    """Refuse pipelines whose samples cannot be written and looked at, such as sounds.

    Args:
        pipe: The pipeline.
        sample: Shape of one sample; empty where it is not known yet.

    Raises:
        ConfigError: It has other dimensions than an image's three or a video's four.
    """
    if sample and len(sample) not in (3, 4):
        raise ConfigError(
            f"model: {type(pipe).__name__} makes samples of shape {tuple(sample)}, which are neither images nor "
            "videos, so they are not written or compared here. Call the pipeline in Python, with "
            "lesa_framework.accelerate."
        )


def generate_batch(
    pipe: CallablePipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: GenerationSettings,
    on_step: StepCallback | None = None,
) -> Samples:
    """Run the pipeline once on a batch.

    Every sample has its own generator on the CPU, so that its noise depends on its seed alone, not on
    its batch or the device. As with any call of a pipeline, a scheduler can serve only one at a time.

    Args:
        pipe: The pipeline; a session may be attached to it.
        prompts: One for each sample.
        seeds: One for each sample.
        settings: Steps and further arguments.
        on_step: Called after every step. What it raises ends the call.
    """
    last: list[Tensor] = []

    def after_step(index: int, latents: Tensor) -> None:
        last[:] = [latents]
        if on_step is not None:
            on_step(index)

    _synchronise(pipe)
    started, worked = time.perf_counter(), time.thread_time()
    with torch.no_grad(), _followed(pipe, after_step) as following:
        output = pipe(
            prompt=list(prompts),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            num_inference_steps=settings.num_steps,
            output_type="pt",
            return_dict=False,
            **following,
            **expanded_call(settings.call, len(prompts)),
        )
    images = output[0]
    _synchronise(pipe)
    seconds, worked = time.perf_counter() - started, time.thread_time() - worked
    waited = max(0.0, seconds - worked) if _on_cpu(pipe) else None
    return Samples(images.detach().float().cpu(), last[0].detach().float().cpu(), seconds, waited)


@contextmanager
def _followed(pipe: CallablePipeline, after_step: Callable[[int, Tensor], None]) -> Iterator[dict[str, Any]]:
    """Within it, a call with the arguments that this gives reports every step's number and latents.

    A few pipelines, such as PixArt's, report no steps. Of these, the scheduler is listened to: its first output is what
    they go on with. In a run of one step PixArt-alpha takes the second one, which LCM's scheduler makes the same.
    """
    if "callback_on_step_end" in _parameters(pipe):

        def callback(pipeline: Any, index: int, timestep: Any, state: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
            after_step(index, state["latents"])
            return state

        yield {"callback_on_step_end": callback}
        return
    scheduler: Any = pipe.scheduler
    step, own, numbers = scheduler.step, vars(scheduler).get("step"), itertools.count()

    @functools.wraps(step)  # pipelines look up which arguments it takes
    def reporting(*args: Any, **kwargs: Any) -> Any:
        output = step(*args, **kwargs)
        after_step(next(numbers), output[0])
        return output

    scheduler.step = reporting
    try:
        yield {}
    finally:
        if own is None:
            del scheduler.step
        else:
            scheduler.step = own


def _parameters(pipe: CallablePipeline) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(type(pipe).__call__).parameters


def sampler_grid(pipe: CallablePipeline, settings: GenerationSettings) -> tuple[float, ...]:
    """The noise levels a call would have, the final 0 included; the transformer is not run.

    The pipeline's own code makes its grid, which may depend on the image's size; the call is stopped when it
    reaches the transformer. So bad arguments show here, before anything expensive.

    Raises:
        ConfigError: The pipeline refuses the arguments.
        UnsupportedBackboneError: It is not a pipeline of a diffusion transformer, or its scheduler has no noise levels,
            or not those of the model.
    """
    models = transformers_of(pipe)
    if not models:
        raise UnsupportedBackboneError(
            f"model: {type(pipe).__name__} has no `transformer`. Feature caches work on diffusion transformers, "
            "such as FLUX."
        )

    class _ReachedError(Exception):
        pass

    levels: list[float | None] = []

    def stop(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        levels.append(_noise_level(model, args, kwargs))
        raise _ReachedError

    handles = [model.register_forward_pre_hook(stop, with_kwargs=True) for model in models.values()]
    try:
        generate_batch(pipe, ["a"], [0], settings)
    except _ReachedError:
        pass
    except Exception as error:  # nothing but the arguments can be wrong before the model is reached
        if is_out_of_memory(error):
            raise
        raise ConfigError(f"{type(pipe).__name__} refuses the call: {_refusal(pipe, error)}") from error
    finally:
        for handle in handles:
            handle.remove()
    source = SchedulerGrid(pipe)
    if not levels or levels[0] is None:
        return source.current()[0].sigmas
    return source.choose(levels[0]).sigmas


def _refusal(pipe: CallablePipeline, error: Exception) -> str:
    """A pipeline's error; where it takes what no command can give it, which may be why, with what to do then."""
    name = next(
        (name for name in ("image", "video", "control_image", "control_video") if name in _parameters(pipe)), None
    )
    if name is None:
        return str(error)
    return (
        f"{str(error).rstrip('.')}. Commands give a pipeline texts and numbers alone, and no `{name}`: if it needs "
        "one, call it in Python, with `lesa.accelerate(pipe, ...)`."
    )


def _noise_level(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
    """A call's noise level; None where no adapter is known that could read it."""
    try:
        adapter = find_adapter(model).adapter
    except UnsupportedBackboneError:
        return None
    level = adapter.noise_level(inspect.signature(type(model).forward).bind(model, *args, **kwargs).arguments)
    return float(torch.as_tensor(level).max())


def _on_cpu(pipe: CallablePipeline) -> bool:
    return all(next(model.parameters()).device.type == "cpu" for model in transformers_of(pipe).values())


def _synchronise(pipe: CallablePipeline) -> None:
    """Wait until the pipeline's devices have done what was asked of them."""
    for model in transformers_of(pipe).values():
        device = next(model.parameters()).device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
