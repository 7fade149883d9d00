"""What loading a model from the hub will download first."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from lesa_framework.cli import console, machine
from lesa_framework.cli.announce import announce
from lesa_framework.cli.forecast import Part, Room, warn
from lesa_framework.files import is_folder
from lesa_framework.pipelines import ModelSource

#: Weights of a pipeline are in the folders of its parts. Whole models in one file beside them are not loaded.
_WEIGHTS = "*/*.safetensors"
#: Copies in other precisions, which are loaded only on request.
_VARIANTS = ("*.fp16.*", "*.bf16.*", "*.fp16-*", "*.bf16-*")


def say_downloads(sources: Iterable[ModelSource]) -> None:
    """Say how much of some models is not on this machine yet; nothing where all is, or where the hub cannot be asked.

    Args:
        sources: The models.
    """
    for source in sources:
        wanted = _missing(source.location) if source.named is None and not is_folder(Path(source.location)) else 0
        if wanted:
            from huggingface_hub.constants import HF_HUB_CACHE  # the library is there: it has answered

            folder = Path(HF_HUB_CACHE)
            room = Room(f"in {folder}", (Part("weights", wanted),), machine.free_disk(folder))
            announce(f"{source.name} is downloaded first: {room}")
            warn("disk", room, console.notices())


def _missing(repo: str) -> int:
    """Bytes of a repository's weights that are not in the cache; 0 where that cannot be told."""
    try:
        from huggingface_hub import snapshot_download

        found = snapshot_download(repo, allow_patterns=[_WEIGHTS], ignore_patterns=list(_VARIANTS), dry_run=True)
    except Exception:  # no library, no network, no such repository: loading it tells what is wrong
        return 0
    return sum(each.file_size or 0 for each in found if each.will_download and fnmatch(each.filename, _WEIGHTS))
