"""One image by several processes, each with its part of the tokens, uncached and cached.

torchrun --nproc-per-node 2 examples/context_parallel.py             # the bundled model, on CPUs too
torchrun --nproc-per-node 2 examples/context_parallel.py --model FOLDER --config my-cache.yaml

Without torchrun one process makes the same image.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import ContextParallelConfig
from torch import distributed

import lesa_framework as lesa
from lesa_framework.pipelines import find_model, load_pipeline


def main() -> None:
    """Split the transformer, make the image twice, and let the first process tell what happened."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="reference:flux")
    arguments.add_argument("--config", default="speedup=4", help="a YAML file, a preset's name, or speedup=N")
    arguments.add_argument("--prompt", default="a red ring above a blue square")
    arguments.add_argument("--out", type=Path, default=Path("context_parallel.png"))
    arguments.add_argument("--steps", type=int, default=50)
    arguments.add_argument("--size", type=int, help="height and width; the model's own by default")
    chosen = arguments.parse_args()

    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    source = find_model(chosen.model)
    pipe = load_pipeline(source, device=device)
    pipe.set_progress_bar_config(disable=rank > 0)
    if size > 1:
        distributed.init_process_group("gloo" if device == "cpu" else "nccl")
        if device == "cpu":
            torch.accelerator.device_count = lambda: size  # all that diffusers asks of an accelerator
        # `ulysses_anything` also splits what does not come out even; the bundled model has 3 heads.
        pipe.transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=size, ulysses_anything=True))
    call = dict(source.named.call) if source.named else {}
    if chosen.size:
        call |= {"height": chosen.size, "width": chosen.size}

    def generate() -> tuple[Any, float]:
        started = time.perf_counter()
        # All processes begin with the same noise, and each gets the whole image.
        noise = torch.Generator().manual_seed(0)
        image = pipe(prompt=chosen.prompt, num_inference_steps=chosen.steps, generator=noise, **call).images[0]
        return image, time.perf_counter() - started

    generate()  # the first run of a process is slower than the others
    _, slow = generate()
    kind, _, number = chosen.config.partition("=")
    cache = {"speedup": float(number)} if kind == "speedup" else {"config": chosen.config}
    with lesa.accelerate(pipe, **cache) as session:
        image, fast = generate()

    if rank == 0:
        print(session.report)
        print(f"split among {size}: {slow:.2f} s uncached, {fast:.2f} s cached: {slow / fast:.2f}x")
        image.save(chosen.out)
        print(f"wrote {chosen.out}")
    if size > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
