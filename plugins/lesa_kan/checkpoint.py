"""Tensors out of a `torch.save` file that others wrote: no code of the file is run, and none that it names."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from lesa_framework import ConfigError, Published

#: What wrappers of models put before the names of their tensors.
_WRAPPERS: Final = ("module.", "model.", "_orig_mod.")
#: The most numbers that are read; the authors' largest model has 4.7 million.
_LARGEST: Final = 2**27
_ALONE: Final = (
    "Save the weights alone where they were made, with `torch.save({'model': checkpoint['model']}, 'weights.pt')`, and "
    "import that."
)


class _Ignored:
    """Stands in for a settings class of the file, and keeps nothing of what it is given."""

    def __init__(self, *arguments: object) -> None:
        """Called in place of the class that the file names."""

    def __setstate__(self, state: object) -> None:
        """Called with the fields."""


def read_model(published: Published) -> dict[str, Tensor]:
    """The tensors under `model`, in float32 and without what wrappers put before their names.

    The file is a pickle, which could run anything. torch's restricted reader builds tensors, containers and numbers
    alone. Besides these only the settings are accepted, classes of a module called `config`; something empty takes
    their place, and nothing is imported.

    Args:
        published: The content of the file.

    Raises:
        ConfigError: It names anything else, is not such a file, or has no such tensors.
    """
    name, found = published.name, _unpickled(published)
    model = found.get("model") if isinstance(found, dict) else None
    if not isinstance(model, dict) or not model:
        raise ConfigError(f"{name}: expected a dict with the tensors under 'model', as LESA's authors save it.")
    tensors = {
        _unwrapped(str(key)): _checked(value, f"{name}: model[{str(key)[:80]!r}]") for key, value in model.items()
    }
    count = sum(tensor.numel() for tensor in tensors.values())
    if count > _LARGEST:
        raise ConfigError(f"{name}: has {count:,} numbers; at most {_LARGEST:,} are read.")
    return {key: tensor.float() for key, tensor in tensors.items()}


def _unpickled(published: Published) -> object:
    """What the file holds, with something empty in place of its settings."""
    name = published.name
    try:
        named = get_unsafe_globals_in_checkpoint(BytesIO(published.content))
    except Exception as error:  # whatever a damaged file makes torch raise
        raise ConfigError(f"{name}: not a file of torch.save in its zip format.") from error
    foreign = sorted(each for each in named if not _is_settings(each))
    if foreign:
        raise ConfigError(f"{name}: refused, because it would run {foreign[0][:80]!r} when it is unpickled. {_ALONE}")
    try:
        with safe_globals([(_Ignored, each) for each in named]):
            found: object = torch.load(BytesIO(published.content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise ConfigError(f"{name}: torch cannot read it without running code. {_ALONE}") from error
    return found


def _is_settings(named: str) -> bool:
    module = named.rpartition(".")[0]
    return module.rpartition(".")[2] == "config"


def _unwrapped(key: str) -> str:
    for wrapper in _WRAPPERS:
        key = key.removeprefix(wrapper)
    return key


def _checked(value: Any, named: str) -> Tensor:
    """One tensor, if it is one of finite floating-point numbers that are there."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
        raise ConfigError(f"{named} is not a dense tensor.")
    if not value.is_floating_point():
        raise ConfigError(f"{named} holds {str(value.dtype).removeprefix('torch.')} and no floating-point numbers.")
    if value.numel() <= _LARGEST and not bool(value.float().isfinite().all()):
        raise ConfigError(f"{named} has numbers that are not finite.")
    return value.detach()
