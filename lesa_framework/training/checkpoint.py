"""Training checkpoints without pickle: any state dict as one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lesa_framework.errors import ArtifactError, in_one_line
from lesa_framework.files import write_bytes

State: TypeAlias = Any  # nested dicts and lists of tensors, numbers, strings and None


def save_checkpoint(path: Path, state: Mapping[str, State]) -> None:
    """Write nested state (`state_dict()`s, counters) to `path`, all or nothing.

    Args:
        path: The file to write; its folder is made when missing.
        state: Nested dicts and lists whose leaves are tensors or JSON values.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = _flatten(state, tensors)
    write_bytes(path, save(tensors, metadata={"skeleton": json.dumps(skeleton)}))


def load_checkpoint(path: Path) -> dict[str, State]:
    """Read what [`save_checkpoint`][lesa_framework.training.checkpoint.save_checkpoint] wrote.

    Raises:
        ArtifactError: The file is missing, truncated or not a checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            restored = _restore(json.loads(file.metadata()["skeleton"]), tensors)
        if not isinstance(restored, dict):
            raise TypeError(f"a {type(restored).__name__} and not a dict")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{path}: not a readable training checkpoint ({in_one_line(error)[:200]}). Delete it to start afresh."
        ) from error
    return restored


def _flatten(state: State, tensors: dict[str, Tensor]) -> State:
    # Keys are kept as pairs because optimisers key their state by int, and JSON would make that a string.
    if isinstance(state, Tensor):
        name = str(len(tensors))
        tensors[name] = state.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(state, Mapping):
        return {"dict": [[key, _flatten(value, tensors)] for key, value in state.items()]}
    if isinstance(state, list | tuple):
        return {"list": [_flatten(value, tensors) for value in state]}
    return {"value": state}


def _restore(skeleton: State, tensors: Mapping[str, Tensor]) -> State:
    if not isinstance(skeleton, dict):
        raise TypeError(f"{skeleton!r} is not a node of a state")
    ((kind, content),) = skeleton.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _restore(value, tensors) for key, value in content}
    if kind == "list":
        return [_restore(value, tensors) for value in content]
    if kind == "value":
        return content
    raise ValueError(f"'{kind}' is not a kind of node")
