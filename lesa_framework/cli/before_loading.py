"""What is known of a model before it is loaded: what the hub has to send, and whether its weights fit into memory."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import torch

from lesa_framework.cli import console, machine
from lesa_framework.cli.forecast import Part, Room, warn
from lesa_framework.config.repository import hub_bars
from lesa_framework.files import is_folder
from lesa_framework.pipelines import ModelSource

#: Weights of a pipeline are in the folders of its parts. Whole models in one file beside them are not loaded.
_WEIGHTS = "*/*.safetensors"
#: Copies in other precisions, which are loaded only on request.
_VARIANTS = ("*.fp16.*", "*.bf16.*", "*.fp16-*", "*.bf16-*")


def say_before_loading(sources: Iterable[ModelSource]) -> None:
    """Say how much of some models is not on this machine yet, and warn of those that may not fit into its memory.

    Nothing is said where all is there and fits, or where the hub cannot be asked.

    Args:
        sources: The models.
    """
    for source in sources:
        if source.named is None:
            folder = Path(source.location)
            weights = _stored(folder) if is_folder(folder) else _downloaded(source)
            room = Room("on the CPU", (Part("weights", weights),), machine.free_memory(torch.device("cpu")))
            warn("memory", room, console.notices())


def _stored(folder: Path) -> int:
    """Bytes of the weights in a pipeline's folder, about what they will have in memory."""
    found = [path for path in folder.glob(_WEIGHTS) if not any(fnmatch(path.name, each) for each in _VARIANTS)]
    return sum(path.stat().st_size for path in found)


def _downloaded(source: ModelSource) -> int:
    """Say what is missing of a repository; returns the bytes of all its weights, or 0 where that cannot be told."""
    missing, whole = _asked(source.location)
    if missing:
        from huggingface_hub.constants import HF_HUB_CACHE  # the library is there: it has answered

        folder = Path(HF_HUB_CACHE)
        room = Room(f"in {folder}", (Part("weights", missing),), machine.free_disk(folder))
        console.announce(f"{source.name} is downloaded first: {room}")
        warn("disk", room, console.notices())
    return whole


def _asked(repo: str) -> tuple[int, int]:
    """Bytes of a repository's weights that are not in the cache, and of all; 0 where that cannot be told."""
    try:
        from huggingface_hub import snapshot_download

        found = snapshot_download(
            repo, allow_patterns=[_WEIGHTS], ignore_patterns=list(_VARIANTS), dry_run=True,
            tqdm_class=hub_bars(disable=True),
        )  # fmt: skip
    except Exception:  # no library, no network, no such repository: loading it tells what is wrong
        return 0, 0
    files = [each for each in found if fnmatch(each.filename, _WEIGHTS)]
    return sum(each.file_size or 0 for each in files if each.will_download), sum(each.file_size or 0 for each in files)
