"""Loads diffusers pipelines: registered models, local folders and hub ids, all with one function.

Of the core only this and `measure.solvers`, which exchanges samplers, import diffusers, and only inside functions.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from lesa_framework.devices import available_devices
from lesa_framework.errors import ConfigError, did_you_mean, is_out_of_memory, shortened
from lesa_framework.extras import about_bundled, check_installed
from lesa_framework.files import expanded, is_folder
from lesa_framework.place import Pipeline
from lesa_framework.plugin.manager import plugins
from lesa_framework.plugin.registry import NamedModel
from lesa_framework.sizing import outline

__all__ = ["CallablePipeline", "ModelSource", "device_for", "find_model", "load_pipeline", "quiet"]

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
#: The release of diffusers that renamed `torch_dtype`.
_DTYPE_SINCE = (0, 42)


class CallablePipeline(Pipeline, Protocol):
    """A pipeline that can be called; its arguments differ from class to class."""

    __call__: Callable[..., Any]


@dataclass(frozen=True)
class ModelSource:
    """A model that was found but is not loaded yet.

    Attributes:
        name: What the user wrote.
        location: A folder or a hub id.
        named: The registered model; None when it is not registered.
    """

    name: str
    location: str
    named: NamedModel | None


def find_model(name: str) -> ModelSource:
    """Find a model without loading it.

    Args:
        name: A registered model's name, a diffusers folder or a hub id.

    Raises:
        ConfigError: The name is none of these, or the folder is not that of a diffusers pipeline.
    """
    catalog = plugins().registry.models
    if name in catalog:
        named = catalog.get(name)
        if not (named.folder / "model_index.json").is_file():
            raise ConfigError(
                f"model: '{name}' is registered by {catalog.names()[name]}, but its weights are not in {named.folder}. "
                "Reinstall the plugin, or train the model."
            )
        return ModelSource(name, str(named.folder), named)
    folder = expanded(name)
    if name and is_folder(folder):
        if not (folder / "model_index.json").is_file():
            raise ConfigError(
                f"model: {name} is not a diffusers pipeline folder: it has no model_index.json. "
                "Give a folder that `save_pretrained` wrote."
            )
        if "_class_name" not in _index(folder):
            raise ConfigError(
                f"model: {name} is not a diffusers pipeline folder: its model_index.json names no pipeline's class. "
                "Give a folder that `save_pretrained` wrote."
            )
        same = (named for named in catalog.items().values() if named.folder.resolve() == folder.resolve())
        return ModelSource(name, str(folder), next(same, None))
    if _HUB_ID.fullmatch(name):
        return ModelSource(name, name, None)
    hint = did_you_mean(name, catalog.names()) or about_bundled(name)
    raise ConfigError(
        f"model: '{shortened(name)}' is neither a registered model ({_known()}), nor an existing folder, "
        f"nor a hub id such as owner/model.{hint}"
    )


def pipeline_files(folder: Path) -> list[tuple[str, int, int]]:
    """The name, the bytes and the time of change of each file of a pipeline: where they are the same, so is the model.

    These are its model_index.json and the files in the folders that this names, also where they are links. The folder
    may hold others, such as results.

    Args:
        folder: What `find_model` found.

    Raises:
        OSError: One of the files cannot be looked at.
    """
    index = folder / "model_index.json"
    found = {index.name: index}
    for name in _index(folder):
        found |= {f"{name}/{path.name}": path for path in (folder / name).glob("*") if path.is_file()}
    return [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in sorted(found.items())]


def _index(folder: Path) -> dict[str, Any]:
    """What a pipeline's model_index.json holds; nothing where it cannot be read as that."""
    try:
        found = json.loads((folder / "model_index.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def hub_commit(source: ModelSource) -> str | None:
    """The commit of a hub's model that is in the hub's cache; None where none is, and for other models."""
    if is_folder(Path(source.location)) or not _HUB_ID.fullmatch(source.location):
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.location, "model_index.json")
    return Path(found).parent.name if isinstance(found, str) else None


def device_for(given: str | None = None) -> str:
    """The device to work on: the given one, or the GPU when there is one.

    Args:
        given: What the user named, such as `cuda`, `cuda:1` or `cpu`.

    Raises:
        ConfigError: This machine does not have it.
    """
    place = given or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        kind, index = torch.device(place).type, torch.device(place).index
    except RuntimeError:
        kind, index = "", None
    available = available_devices()
    if kind not in available:
        raise ConfigError(f"--device {place}: not available on this machine. Available: {', '.join(available)}.")
    if kind == "cuda" and (index or 0) >= torch.cuda.device_count():
        known = ", ".join(f"cuda:{number}" for number in range(torch.cuda.device_count()))
        raise ConfigError(f"--device {place}: not available on this machine. Its GPUs: {known}.")
    return place


def load_pipeline(
    model: str | ModelSource, *, device: str | None = None, dtype: torch.dtype | None = None
) -> CallablePipeline:
    """Load a pipeline, without progress bars and notices.

    Args:
        model: A registered model's name, a diffusers folder, a hub id, or what `find_model` returned.
        device: The device to load it on; by default the GPU when there is one.
        dtype: Precision; by default bfloat16 on CUDA, and float32 elsewhere and for registered models.

    Raises:
        ConfigError: diffusers is not installed, the model or device does not exist, or the model cannot be loaded.
    """
    source = find_model(model) if isinstance(model, str) else model
    place = device_for(device)
    half = place.startswith("cuda") and source.named is None
    return _load(source, dtype or (torch.bfloat16 if half else torch.float32), {}).to(place)


def load_outline(source: ModelSource, dtype: torch.dtype) -> CallablePipeline:
    """Load a pipeline whose models have shapes and no weights: nothing but configurations and tokenizers is read.

    Models of classes that neither diffusers nor transformers has are loaded with their weights.

    Args:
        source: What `find_model` returned.
        dtype: Precision.

    Raises:
        ConfigError: diffusers is not installed, or the pipeline cannot be loaded.
    """
    diffusers = _diffusers(source)
    models: dict[str, nn.Module] = {}
    with _loading(source):
        for name, library, kind in _parts(diffusers.DiffusionPipeline.load_config(source.location)):
            made = outline(getattr(import_module(library), kind, None), source.location, name, dtype)
            models |= {} if made is None else {name: made}
    return _load(source, dtype, models)


def _parts(index: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(name, library, class) of what a pipeline is made of, as its model_index.json lists it."""
    for name, found in index.items():
        if isinstance(found, list | tuple) and len(found) == 2 and found[0] in {"diffusers", "transformers"}:
            yield name, *found


def _load(source: ModelSource, dtype: torch.dtype, models: Mapping[str, nn.Module]) -> Any:
    diffusers = _diffusers(source)
    version = tuple(int(part) for part in diffusers.__version__.split(".")[:2])
    keyword = "dtype" if version >= _DTYPE_SINCE else "torch_dtype"
    with _loading(source):
        pipe = diffusers.DiffusionPipeline.from_pretrained(source.location, **{keyword: dtype}, **models)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _diffusers(source: ModelSource) -> Any:
    check_installed(f"model: loading '{source.name}'")
    import diffusers

    return diffusers


@contextmanager
def _loading(source: ModelSource) -> Iterator[None]:
    """Load quietly. What goes wrong becomes one message; out of memory passes, because callers have advice for it."""
    try:
        with quiet("diffusers", "transformers"):
            yield
    except Exception as error:  # the hub, the network, JSON and weights raise errors of many classes
        if is_out_of_memory(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = reason.replace("Please check out the root cause in the stacktrace above.", "").strip()
        raise ConfigError(
            f"model: '{source.name}' could not be loaded: {reason.rstrip('.')}. "
            f"Check the name, the folder's files or the network. Registered models: {_known()}."
        ) from error


def _known() -> str:
    return ", ".join(plugins().registry.models.names()) or "none"


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """Turn off progress bars and notices while something is loaded, and restore the settings afterwards.

    Args:
        libraries: Who is to be quiet: `diffusers`, `transformers` or both. They are imported.
    """
    logs = [import_module(f"{library}.utils.logging") for library in libraries]
    before = [(log, log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs]
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        for log, level, bar in before:
            log.set_verbosity(level)
            if bar:
                log.enable_progress_bar()
