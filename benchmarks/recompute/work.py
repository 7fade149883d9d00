"""How much a cache that nobody told its steps has computed: runs of blocks, each by its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.recompute.plain import BRANCHES, STACKS


def blocks_of(transformer: nn.Module) -> dict[str, nn.Module]:
    """The blocks of a bare transformer, by name; ask before a cache is attached, because some wrap them."""
    stacks = {stack: module for stack, module in transformer.named_children() if stack in STACKS}
    return {f"{stack}.{n}": block for stack, module in stacks.items() for n, block in module.named_children()}


def sizes_of(transformer: nn.Module, run: Callable[[], object]) -> dict[str, int]:
    """Floating-point operations of each block, because those of FLUX and HunyuanVideo are of two sizes.

    They are of both branches together. Qwen-Image computes a little more where there is a prompt: where a cache does
    not decide alike in both, its work is off by that (on the table's first batch 13.57 instead of 13.53).

    Args:
        transformer: The model, bare.
        run: Samples anything with it.
    """
    # torch's counter does not know a CPU's attention, but the two products that this backend makes of it.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    counts = counter.get_flop_counts()
    return {name: sum(counts[f"{type(transformer).__name__}.{name}"].values()) for name in blocks_of(transformer)}


@contextmanager
def counted(blocks: Mapping[str, nn.Module]) -> Iterator[dict[str, int]]:
    """Within it, counts how many times each block runs.

    A block that was called need not have run: diffusers' caches let it return its own input. Its first linear layer
    runs exactly when its own code does.
    """
    runs = dict.fromkeys(blocks, 0)

    def count(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            runs[name] += 1

        return hook

    hooks = []
    for name, block in blocks.items():
        linear = next(module for module in block.modules() if isinstance(module, nn.Linear))
        hooks.append(linear.register_forward_hook(count(name)))
    try:
        yield runs
    finally:
        for hook in hooks:
            hook.remove()


def work(runs: Mapping[str, int], sizes: Mapping[str, int]) -> float:
    """What was done of one sampling's blocks, in uncached steps."""
    return sum(runs[name] * size for name, size in sizes.items()) / (BRANCHES * sum(sizes.values()))
