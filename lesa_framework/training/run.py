"""From a configuration to a folder with trained weights: what `lesa train` does."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lesa_framework.api import Pipeline
from lesa_framework.artifacts import Artifact, ArtifactMetadata, save_artifact
from lesa_framework.backbones import find_adapter
from lesa_framework.config.loading import dump_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, LesaError
from lesa_framework.files import write_text
from lesa_framework.generation import GenerationSettings, sampler_grid
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.runtime.engine import Strategy, plan
from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint
from lesa_framework.training.rollout import Batch, Sampler
from lesa_framework.training.two_stage import Progress, TwoStageTrainer
from lesa_framework.types import Reason

#: Training seeds start here, so that nobody's "seed 0" picture was trained on.
_FIRST_SEED = 10_000


@dataclass(frozen=True)
class Trained:
    """What a training left.

    Attributes:
        weights: The artifact.
        config: A configuration that uses it.
        log: JSON, one entry a batch.
        drift_db: Mean closed-loop distance over the last epoch, in dB.
    """

    weights: Path
    config: Path
    log: Path
    drift_db: float | None


def train(
    config: LesaConfig,
    pipe: CallablePipeline,
    call: Mapping[str, Any],
    prompts: Sequence[str],
    out: Path,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Trained:
    """Train a configuration's predictor on a pipeline.

    An interrupted training goes on when it is started again with the same `out`.

    Args:
        config: Schedule, router, predictor and tap to train for, and how.
        pipe: The pipeline; its weights are frozen.
        call: Keyword arguments of the pipeline's call (size, guidance).
        prompts: What to train on; each gets a seed of its own.
        out: Folder for `<name>.safetensors`, `<name>.yaml` and `<name>.json`.
        progress: Called after every batch.

    Raises:
        ConfigError: There is nothing to train, the pipeline refuses the call, or `out` holds the checkpoint of
            another training.
        ArtifactError: `out` holds a checkpoint that cannot be read.
        LesaError: The training diverged; no weights are written.
    """
    settings = config.training
    learner = config.predictor.trainable(settings.num_steps, settings.seed)
    kind, _ = find_adapter(pipe.transformer, config.backbone)
    schedule, router = config.schedule.build(), config.router.build()
    grid = sampler_grid(pipe, GenerationSettings(num_steps=settings.num_steps, call=dict(call)))
    _check_predicts(Strategy(schedule, router, learner), grid)
    checkpoint = out / f"{config.name}.checkpoint.safetensors"
    fingerprint = _fingerprint(config, call, prompts, pipe.transformer)
    trainer = TwoStageTrainer(
        Sampler(pipe, settings.num_steps, dict(call)),
        learner,
        schedule,
        router,
        settings,
        make_batches(prompts, settings.batch, settings.seed),
        sigmas=grid,
        backbone=config.backbone,
        tap=config.backbone.tap,
        saved=lambda: save_checkpoint(checkpoint, {"fingerprint": fingerprint, **trainer.state_dict()}),
    )
    if checkpoint.exists():
        state = load_checkpoint(checkpoint)
        if state.get("fingerprint") != fingerprint:
            raise ConfigError(
                f"{checkpoint}: belongs to a training with other settings or prompts, or on another model. "
                "Choose another --out, or delete the file to start afresh."
            )
        trainer.load_state_dict(state)
    for step in trainer.train():
        progress(step)
    weights, tensors = out / f"{config.name}.safetensors", learner.tensors(grid)
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise LesaError(
            "training: it diverged, the weights are not finite; none were written. Lower training.guided_lr and "
            f"training.closed_loop_lr, and delete {checkpoint} to start afresh."
        )
    metadata = ArtifactMetadata(
        kind=config.predictor.kind,
        settings=learner.settings(),
        sigmas=grid,
        backbone=kind,
        tap=config.backbone.tap,
        config=json.loads(fingerprint)["config"],
        training={
            "prompts": len(prompts),
            "drift_db": _drift_db(trainer, settings.closed_loop_epochs),
            "torch": torch.__version__,
            "device": device_name(pipe),
        },
    )
    save_artifact(weights, Artifact(metadata, tensors))
    return _write_rest(config, out, weights, trainer)


def make_batches(prompts: Sequence[str], size: int, seed: int) -> list[Batch]:
    """Prompts in batches, each prompt with a seed of its own."""
    first = _FIRST_SEED * (1 + seed)
    pairs = [(prompt, first + number) for number, prompt in enumerate(prompts)]
    parts = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    return [Batch(tuple(p for p, _ in part), tuple(s for _, s in part)) for part in parts]


def device_name(pipe: Pipeline) -> str:
    """What the transformer runs on, in words."""
    device = next(pipe.transformer.parameters()).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


def _write_rest(config: LesaConfig, out: Path, weights: Path, trainer: TwoStageTrainer) -> Trained:
    log, yaml = out / f"{config.name}.json", out / f"{config.name}.yaml"
    drift = _drift_db(trainer, config.training.closed_loop_epochs)
    versions = {name: version(name) for name in ("lesa-framework", "torch")}
    write_text(log, json.dumps({"versions": versions, "drift_db": drift, "log": trainer.log}, indent=1) + "\n")
    predictor = config.predictor.model_copy(update={"weights": Path(weights.name)})
    write_text(yaml, dump_config(config.model_copy(update={"predictor": predictor})))
    return Trained(weights, yaml, log, drift)


def _drift_db(trainer: TwoStageTrainer, epochs: int) -> float | None:
    """Mean over the batches of the last epoch of the closed loop; None when there was none."""
    every = [entry["drift_db"] for entry in trainer.log if entry["stage"] == "closed loop"]
    last = every[-max(1, len(every) // max(epochs, 1)) :]
    return sum(last) / len(last) if last else None


def _check_predicts(strategy: Strategy, sigmas: Sequence[float]) -> None:
    if any(reason is Reason.PREDICTED for _, reason in plan(strategy, sigmas)):
        return
    needed = min(strategy.predictor.min_history(stage) for stage in range(strategy.router.num_stages))
    raise ConfigError(
        f"training.num_steps: in a run of {len(sigmas) - 1} steps no step would be predicted, so there is nothing to "
        f"learn. The predictor needs {needed} features before its first prediction: run more steps, or choose a "
        "schedule that computes fewer of them."
    )


def _fingerprint(config: LesaConfig, call: Mapping[str, Any], prompts: Sequence[str], model: nn.Module) -> str:
    # Weights and machine paths are no part of what is trained. The model goes by its numbers and not by its name: a
    # folder's content may change.
    settings = config.model_dump(mode="json", exclude={"predictor": {"weights"}, "name": True, "training": {"model"}})
    trained_on = {"config": settings, "call": dict(call), "prompts": list(prompts), "model": _digest(model)}
    return json.dumps(trained_on, sort_keys=True, default=str)


def _digest(model: nn.Module) -> str:
    """A hash of the first numbers of every parameter: enough to tell models apart, and quick on large ones."""
    found = hashlib.sha256(type(model).__name__.encode())
    for name, parameter in model.named_parameters():
        found.update(f"{name} {tuple(parameter.shape)}".encode())
        if not parameter.is_meta:  # offloaded
            found.update(parameter.detach().flatten()[:16].float().cpu().numpy().tobytes())
    return found.hexdigest()
