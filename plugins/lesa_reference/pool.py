"""A pool of scenes, drawn by worker processes before the training begins.

Scene `i` depends on the seed and on `i` alone, so a pool is the same whatever the number of processes. It is kept in
files: an interrupted drawing goes on where it was.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lesa_framework import LesaError
from lesa_reference.drawing import Draw
from lesa_reference.shards import SHARD, become_a_worker, ctrl_c_later, draw_shard, load_shard, shard_file


@dataclass(frozen=True)
class Pool:
    """Drawn scenes: pixels (count, 3, [frames,] height, width) in uint8, and captions."""

    pixels: Tensor
    captions: list[str]


def draw_pool(
    draw: Draw, folder: Path, seed: int, count: int, workers: int, drawn: Callable[[int], object] = lambda _: None
) -> Pool:
    """Draw what is missing of a pool, and load it.

    Args:
        draw: A function of a module, which worker processes can import.
        folder: Keeps the scenes; those of another seed do not disturb.
        seed: At least 0.
        count: How many scenes, at least 1.
        workers: Processes that draw; 1 or less draws in this one.
        drawn: Told how many scenes have become ready, again and again.

    Raises:
        LesaError: A file cannot be written, or a worker process died.
        ArtifactError: A file of the pool is damaged.
    """
    shards = range(-(-count // SHARD))
    missing = [shard for shard in shards if not shard_file(folder, seed, shard).exists()]
    drawn(SHARD * (len(shards) - len(missing)))
    if workers > 1 and len(missing) > 1:
        _draw_in_workers(draw, folder, seed, missing, workers, drawn)
    else:
        for shard in missing:
            drawn(draw_shard(draw, folder, seed, shard))
    return _load(folder, seed, count)


def _draw_in_workers(
    draw: Draw, folder: Path, seed: int, shards: list[int], workers: int, drawn: Callable[[int], object]
) -> None:
    # Forking a process whose threads run may block it for ever, so fresh ones are started.
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    with theirs, ours:
        executor = ProcessPoolExecutor(min(workers, len(shards)), context, become_a_worker, (theirs,))
        try:
            with ctrl_c_later():
                tasks = [executor.submit(draw_shard, draw, folder, seed, shard) for shard in shards]
            for task in as_completed(tasks):
                drawn(task.result())
        except BrokenProcessPool as error:
            raise LesaError(
                f"{folder}: a process that draws scenes died, perhaps for lack of memory. The same command goes on "
                "where it was; --workers 1 draws without further processes."
            ) from error
        except BaseException:
            ours.close()
            raise
        finally:
            executor.shutdown(cancel_futures=True)


def _load(folder: Path, seed: int, count: int) -> Pool:
    pixels, captions = torch.empty(0), list[str]()
    for start in range(0, count, SHARD):
        found, said = load_shard(folder, seed, start // SHARD)
        if not captions:
            pixels = torch.empty((count, *found.shape[1:]), dtype=torch.uint8)
        pixels[start : start + SHARD] = torch.from_numpy(found[: count - start])
        captions += said[: count - start]
    return Pool(pixels, captions)
