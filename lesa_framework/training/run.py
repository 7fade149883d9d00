"""From a configuration to a folder with trained weights: what `lesa train` does."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lesa_framework.api import Pipeline, find_adapter
from lesa_framework.artifacts import Artifact, ArtifactMetadata, save_artifact
from lesa_framework.config.loading import dump_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint
from lesa_framework.training.rollout import Batch, Sampler
from lesa_framework.training.two_stage import Progress, TwoStageTrainer

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
    pipe: Pipeline,
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
        ConfigError: There is nothing to train, or `out` holds the checkpoint of another training.
    """
    settings = config.training
    learner = config.predictor.trainable(settings.num_steps, settings.seed)
    kind, _ = find_adapter(pipe.transformer, config.backbone.kind)
    schedule = config.schedule.build()
    schedule.check(settings.num_steps)
    checkpoint = out / f"{config.name}.checkpoint.safetensors"
    fingerprint = _fingerprint(config, call, prompts)
    trainer = TwoStageTrainer(
        Sampler(pipe, settings.num_steps, dict(call)),
        learner,
        schedule,
        config.router.build(),
        settings,
        make_batches(prompts, settings.batch, settings.seed),
        backbone=kind,
        tap=config.backbone.tap,
        saved=lambda: save_checkpoint(checkpoint, {"fingerprint": fingerprint, **trainer.state_dict()}),
    )
    if checkpoint.exists():
        state = load_checkpoint(checkpoint)
        if state["fingerprint"] != fingerprint:
            raise ConfigError(
                f"{checkpoint}: belongs to a training with other settings or prompts. "
                "Choose another --out, or delete the file to start afresh."
            )
        trainer.load_state_dict(state)
    for step in trainer.train():
        progress(step)
    weights = out / f"{config.name}.safetensors"
    metadata = ArtifactMetadata(
        kind=config.predictor.kind,
        settings=learner.settings(),
        sigmas=trainer.sigmas,
        backbone=kind,
        tap=config.backbone.tap,
        config=json.loads(fingerprint)["config"],
        training={"prompts": len(prompts), "torch": torch.__version__, "device": device_name(pipe)},
    )
    save_artifact(weights, Artifact(metadata, learner.tensors(trainer.sigmas)))
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
    last = [entry["drift_db"] for entry in trainer.log if entry["stage"] == "closed loop"]
    last = last[-max(1, len(last) // max(config.training.closed_loop_epochs, 1)) :]
    drift = sum(last) / len(last) if last else None
    versions = {name: version(name) for name in ("lesa-framework", "torch")}
    log.write_text(json.dumps({"versions": versions, "drift_db": drift, "log": trainer.log}, indent=1) + "\n", "utf-8")
    predictor = config.predictor.model_copy(update={"weights": Path(weights.name)})
    yaml.write_text(dump_config(config.model_copy(update={"predictor": predictor})), "utf-8")
    return Trained(weights, yaml, log, drift)


def _fingerprint(config: LesaConfig, call: Mapping[str, Any], prompts: Sequence[str]) -> str:
    # Weights and machine paths are no part of what is trained.
    settings = config.model_dump(mode="json", exclude={"predictor": {"weights"}, "name": True, "training": {"model"}})
    return json.dumps({"config": settings, "call": dict(call), "prompts": list(prompts)}, sort_keys=True)
