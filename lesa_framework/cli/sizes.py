"""What a run will keep in memory, as `lesa plan` tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import torch
import typer

from lesa_framework.api import plan_run
from lesa_framework.cli import options
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.generation import GenerationSettings, check_call
from lesa_framework.pipelines import CallablePipeline, ModelSource, load_outline, load_pipeline
from lesa_framework.run_plan import RunPlan
from lesa_framework.runtime.strategy import Strategy

Frames = Annotated[int | None, typer.Option("--frames", min=1, help="Frames of a video.", rich_help_panel=options.CALL)]
Batch = Annotated[int, typer.Option("--batch", min=1, help="With --model: samples of each call of the pipeline.")]
#: The names of dtypes in which models are loaded.
Precision: TypeAlias = Literal["bfloat16", "float16", "float32"]
Dtype = Annotated[
    Precision | None,
    typer.Option("--dtype", help="With --model: its precision; by default bfloat16, float32 for registered models."),
]


def check_model_is_given(model: str | None, given: Mapping[str, object]) -> None:
    """Refuse options that are the model's, where there is none.

    Raises:
        ConfigError: There is one.
    """
    named = [option for option, value in given.items() if value not in (None, [])]
    if model is None and named:
        raise ConfigError(f"{named[0]}: is what a model is called with. Add --model, or leave it out.")


def with_frames(call: GenerationSettings, frames: int | None) -> GenerationSettings:
    """The call, with a number of frames if one was given."""
    return call if frames is None else call.model_copy(update={"call": {**call.call, "num_frames": frames}})


def planned_pipeline(source: ModelSource, dtype: Precision | None) -> CallablePipeline:
    """A pipeline to plan with: registered models are small; of others no weight is read."""
    if source.named is None:
        return load_outline(source, getattr(torch, dtype or "bfloat16"))
    return load_pipeline(source, device="cpu", dtype=getattr(torch, dtype) if dtype else None)


def plan_on(
    pipe: CallablePipeline, strategy: Strategy, settings: LesaConfig, call: GenerationSettings, batch: int
) -> RunPlan:
    """The plan of a call of a pipeline.

    Raises:
        LesaError: The configuration or the arguments do not fit, or the plan cannot be told without a run.
    """
    check_call(pipe, call.call)
    backbone = settings.backbone
    return plan_run(pipe, strategy, backbone, backbone.tap, call.num_steps, batch=batch, call=call.call)


def as_mapping(run: RunPlan) -> dict[str, Any]:
    """For JSON."""
    features = {
        branch: {
            "shape": each.shape,
            "dtype": str(run.place.dtype or each.dtype).removeprefix("torch."),
            "kept": each.kept,
            "bytes": each.nbytes,
        }
        for branch, each in run.features.items()
    }
    device = None if run.place.device is None else str(run.place.device)
    return {
        "cache_bytes": run.cache_bytes,
        "latent_bytes": run.latent_bytes,
        "device": device,
        "features": features,
    }
