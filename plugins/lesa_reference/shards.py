"""Files of drawn scenes, and the processes that write them.

Such a process imports this module and no torch, so that it is at work within a second.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lesa_framework.files import write_bytes
from lesa_reference.drawing import Draw

#: Scenes in a file. Drawing them takes about a second, and Ctrl-C waits for no more.
SHARD = 64
#: The random stream of the scenes, separate from those of batches and prompts.
_STREAM = 3


def shard_file(folder: Path, seed: int, shard: int) -> Path:
    """Where the scenes `SHARD * shard` and following are kept."""
    return folder / f"{seed}-{shard:05d}.safetensors"


def draw_shard(draw: Draw, folder: Path, seed: int, shard: int) -> int:
    """Write one file; returns how many scenes are in it."""
    scenes = [draw(np.random.default_rng([seed, _STREAM, shard * SHARD + number])) for number in range(SHARD)]
    pixels, captions = np.stack([scene[0] for scene in scenes]), json.dumps([scene[1] for scene in scenes])
    write_bytes(shard_file(folder, seed, shard), save({"pixels": pixels}, {"captions": captions}))
    return SHARD


def load_shard(folder: Path, seed: int, shard: int) -> tuple[np.ndarray, list[str]]:
    """Pixels (SHARD, ...) in uint8, and captions.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    path = shard_file(folder, seed, shard)
    try:
        with safe_open(path, "np") as file:
            pixels, captions = file.get_tensor("pixels"), json.loads(file.metadata()["captions"])
        if pixels.dtype != np.uint8 or not len(pixels) == len(captions) == SHARD:
            raise ValueError("it does not hold what was written")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        # Torch comes with it, which the processes that draw do without.
        from lesa_framework import ArtifactError, in_one_line

        raise ArtifactError(
            f"{path}: damaged ({in_one_line(error)[:200]}). Delete it to have it drawn again."
        ) from error
    return pixels, captions


@contextmanager
def ctrl_c_later() -> Iterator[None]:
    """Processes started meanwhile never see Ctrl-C; this one sees it at the end."""
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def become_a_worker(lifeline: Connection) -> None:
    """Leave Ctrl-C to the process that trains, and end at once when that one lets go or is gone.

    Args:
        lifeline: The end to read of a pipe that only that process holds the other end of. Nothing is ever sent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(1)
