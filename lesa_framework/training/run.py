"""From a configuration to a folder with fitted weights: what `lesa train` does for any fit."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from lesa_framework.artifacts import Artifact, ArtifactMetadata, load_artifact, save_artifact
from lesa_framework.config.loading import dump_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.devices import check_place
from lesa_framework.errors import ArtifactError, ConfigError, LesaError, in_one_line
from lesa_framework.files import read_text, write_text
from lesa_framework.fingerprints import canonical
from lesa_framework.interfaces.fit import Fit, Progress
from lesa_framework.model_info import ModelInfo
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.place import Pipeline, first_weight, place_of
from lesa_framework.plugin.manager import plugins
from lesa_framework.processes import ALONE, World
from lesa_framework.runtime.strategy import Strategy, plan
from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint
from lesa_framework.training.contract import check_fit_needs, check_json, check_reads_weights, fitted_tensors
from lesa_framework.training.fit_files import FitFiles
from lesa_framework.training.task import Task, make_task
from lesa_framework.types import Reason

#: The stage of the first progress of a fit that resumes.
RESUMING = "resuming"
#: Left out of the fingerprint's settings: `model` and `call` have keys of their own there, and files may move.
_SAID_ELSEWHERE = {"model", "call", "prompts_file"}


@dataclass(frozen=True)
class Trained:
    """The files that a fit wrote.

    Attributes:
        weights: The artifact.
        config: A configuration that uses it.
        log: JSON, the fit's own entries.
        drift_db: Closed-loop distance from the uncached run, in dB, when the fit measured it.
        earlier: Whether an earlier call with the same arguments had written them, so that nothing was left to do.
    """

    weights: Path
    config: Path
    log: Path
    drift_db: float | None
    earlier: bool = False


def check_has_fit(config: LesaConfig) -> None:
    """Refuse a predictor with nothing to fit, no use for the result, or modules missing, before a model is loaded.

    Raises:
        ConfigError: There is nothing to fit, and the message names the kinds that have a fit; or what the fit needs is
            not installed.
        PluginContractError: The predictor's configuration has no field `weights`.
    """
    if not config.predictor.has_fit():
        known = ", ".join(kind for kind, each in plugins().registry.predictors.items().items() if each.has_fit())
        raise ConfigError(
            f"predictor.kind: '{config.predictor.kind}' has nothing to train. Use it as it is, or train one that has: "
            f"{known}."
        )
    check_reads_weights(config.predictor)
    check_fit_needs(config.predictor)


def train(
    config: LesaConfig,
    pipe: CallablePipeline,
    call: Mapping[str, Any],
    prompts: Sequence[str],
    out: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    provenance: Mapping[str, Any] = MappingProxyType({}),
    world: World = ALONE,
    begin: Callable[[Fit], None] = lambda _: None,
) -> Trained:
    """Fit a configuration's predictor to a pipeline.

    An interrupted fit resumes when it is started again with the same `out`, and a finished one is not repeated.

    Args:
        config: Schedule, router, predictor and tap to fit for, and how.
        pipe: The pipeline; its weights are frozen.
        call: Keyword arguments of the pipeline's call (size, guidance).
        prompts: What to fit on; each gets a seed of its own.
        out: Folder for `<name>.safetensors`, `<name>.yaml` and `<name>.json`.
        progress: Called after every part; before the first one too, with the stage `RESUMING`, when the fit resumes.
        provenance: JSON values for the artifact's metadata: how the configuration came about.
        world: The processes that share the prompts, each with a pipeline of its own. The first one writes.
        begin: Called with the fit before it runs, if something is left to do.

    Raises:
        ConfigError: There is nothing to fit, what the fit needs is not installed, the pipeline refuses the call, this
            machine lacks the device of the history, or `out` holds the checkpoint of another fit.
        ArtifactError: `out` holds a checkpoint that cannot be read.
        LesaError: The fit diverged; no weights are written. Or another process ended.
        PluginContractError: The fit's result is not what a fit must give; nothing is written.
    """
    check_has_fit(config)
    check_place(config.engine.history.build())
    place = place_of(pipe, None, config.backbone)
    task = make_task(config, pipe, call, prompts, world)
    grid = task.sigmas
    fit = config.predictor.fit(task)
    _check_predicts(Strategy(task.schedule, task.router, fit.predictor), grid)
    files = FitFiles(out, config.name)
    fingerprint = _fingerprint(config, call, prompts, place.look())
    finished = _finished(config, files, fingerprint)
    _check_same(world, f"{fingerprint} {finished is None} {files.checkpoint.exists()}", out)
    if finished is not None:
        return finished
    if files.checkpoint.exists():
        resumed = _resume(fit, files.checkpoint, fingerprint)
        if world.is_first:
            progress(resumed)
    begin(fit)
    task.sampler.freeze()
    for step in fit.run():
        if step.save and world.is_first:
            kept = {"fingerprint": fingerprint, "progress": [step.done, step.total]}
            save_checkpoint(files.checkpoint, {**kept, **fit.state_dict()})
        if world.is_first:
            progress(step)
    tensors = fitted_tensors(fit)
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise LesaError(
            "training: it diverged, the weights are not finite; none were written. Lower the learning rates of the "
            f"training section, if it has any, and delete {files.checkpoint} to start afresh."
        )
    drift_db, log, shape = fit.drift_db, fit.log, fit.settings()
    check_json(fit, "drift_db", drift_db, float | int | None)
    check_json(fit, "log", log, list | tuple)
    check_json(fit, "settings()", shape, dict)
    said = {"prompts": len(prompts), "drift_db": drift_db, "device": device_name(pipe), **provenance}
    metadata = _metadata(config, place.kind, task, shape, json.loads(fingerprint), said)
    if world.is_first:
        _write(config, files, Artifact(metadata, tensors), {"drift_db": drift_db, "log": log}, fingerprint)
    world.wait()
    return Trained(files.weights, files.config, files.log, drift_db)


def _check_same(world: World, seen: str, out: Path) -> None:
    if not world.agrees(hashlib.sha256(seen.encode()).digest()):
        raise ConfigError(
            f"the processes do not make the same fit: they were given other settings, prompts or weights, or find "
            f"other files in {out}. Start all of them with the same command, and choose an --out that they share."
        )


def _resume(fit: Fit, checkpoint: Path, fingerprint: str) -> Progress:
    """Give the fit its saved state; returns how far it was."""
    state = load_checkpoint(checkpoint)
    if state.get("fingerprint") != fingerprint:
        raise ConfigError(
            f"{checkpoint}: belongs to a training with other settings or prompts, or on another model. "
            "Choose another --out, or delete the file to start afresh."
        )
    try:
        fit.load_state_dict(state)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{checkpoint}: not the state of this fit ({in_one_line(error)[:200]}). Delete it to start afresh."
        ) from error
    done, total = state.get("progress", (0, 0))
    return Progress(RESUMING, done, total)


def _metadata(
    config: LesaConfig,
    backbone: str,
    task: Task,
    shape: dict[str, Any],
    identity: Mapping[str, Any],
    said: Mapping[str, Any],
) -> ArtifactMetadata:
    run = task.seen.run
    return ArtifactMetadata(
        kind=config.predictor.kind,
        settings=shape,
        sigmas=task.sigmas,
        backbone=backbone,
        tap=config.backbone.tap,
        models=run.models if run else (),
        latent_shape=run.latent_shape if run else None,
        guidance=run.guidance if run else None,
        config=identity["config"],
        training={"call": identity["call"], "torch": torch.__version__, **said},
    )


def device_name(pipe: Pipeline) -> str:
    """The device of the first transformer, in words."""
    device = first_weight(pipe).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"


def _finished(config: LesaConfig, files: FitFiles, fingerprint: str) -> Trained | None:
    """What an earlier call with the same arguments wrote; None when something is left to do."""
    try:
        content = json.loads(read_text(files.log))
        load_artifact(files.weights, config.predictor.kind)
    except (LesaError, ValueError, RecursionError):
        return None
    if not (isinstance(content, dict) and content.get("fingerprint") == _hash(fingerprint) and files.config.is_file()):
        return None
    return Trained(files.weights, files.config, files.log, content.get("drift_db"), earlier=True)


def _hash(fingerprint: str) -> str:
    return hashlib.sha256(fingerprint.encode()).hexdigest()


def _write(
    config: LesaConfig, files: FitFiles, artifact: Artifact, outcome: Mapping[str, Any], fingerprint: str
) -> None:
    predictor = config.predictor.model_copy(update={"weights": Path(files.weights.name)})
    user = dump_config(config.model_copy(update={"predictor": predictor}))
    versions = {name: version(name) for name in ("lesa-framework", "torch")}
    logged = json.dumps({"versions": versions, "fingerprint": _hash(fingerprint), **outcome}, indent=1) + "\n"
    # All contents exist before the first file does. The log comes last: it says that the fit is finished.
    save_artifact(files.weights, artifact)
    write_text(files.config, user)
    write_text(files.log, logged)


def _check_predicts(strategy: Strategy, sigmas: Sequence[float]) -> None:
    if any(reason in (Reason.PREDICTED, Reason.DATA) for _, reason in plan(strategy, sigmas)):
        return
    needed = min(strategy.predictor.min_history(stage) for stage in range(strategy.router.num_stages))
    raise ConfigError(
        f"training.num_steps: in a run of {len(sigmas) - 1} steps no step would be predicted, so there is nothing to "
        f"fit. The predictor needs {needed} features before its first prediction: run more steps, or choose a "
        "schedule that computes fewer of them."
    )


def by_content(section: Mapping[str, Any]) -> dict[str, Any]:
    """A predictor's settings; the files of predictors that it builds on go by what is in them."""
    return {
        key: by_content(value)
        if isinstance(value, Mapping)
        else f"sha256:{hashlib.sha256(Path(value).read_bytes()).hexdigest()}"
        if key == "weights" and isinstance(value, str)
        else value
        for key, value in section.items()
    }


def _fingerprint(
    config: LesaConfig, call: Mapping[str, Any], prompts: Sequence[str], models: Sequence[ModelInfo]
) -> str:
    # Weights and machine paths are no part of what is trained. The model goes by its numbers and not by its name: a
    # folder's content may change.
    unfitted = config.predictor.model_copy(update={"weights": None})
    settings = config.model_copy(update={"predictor": unfitted}).model_dump(
        mode="json", exclude={"predictor": {"weights"}, "name": True, "training": _SAID_ELSEWHERE}
    )
    settings["predictor"] = by_content(settings["predictor"])
    first, *others = map(asdict, models)
    second = {"others": others} if others else {}
    trained_on = {"config": settings, "call": dict(call), "prompts": list(prompts), "model": first, **second}
    return canonical(trained_on)
