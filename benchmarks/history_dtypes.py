"""Measures what a history in fewer bits costs, for docs/reference/memory.md: `python -m benchmarks.history_dtypes`.

PSNR in dB of pictures of the bundled FLUX, against the same cache in float32 and against uncached ones. It takes about
two minutes on a core.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

import lesa_framework as lesa
from benchmarks.markup import header, number
from lesa_framework.pipelines import find_model, load_pipeline

_PAIRS: Final = 40
_PRESETS: Final = ("ref-flux-fitted-nfe10", "ref-flux-lesa-n7")
_DTYPES: Final = ("float32", "float16", "bfloat16", "float8_e4m3fn")


def main() -> None:
    """Run and print the table."""
    source = find_model("reference:flux")
    assert source.named is not None
    assert source.named.prompts is not None
    pipe: Any = load_pipeline(source, device="cpu")
    call = {"prompt": source.named.prompts(778, _PAIRS), "num_inference_steps": 50, **source.named.call}

    def run() -> Tensor:
        noise = [torch.Generator().manual_seed(900 + pair) for pair in range(_PAIRS)]
        with torch.no_grad():
            return pipe(**call, generator=noise, output_type="pt").images  # type: ignore[no-any-return]

    uncached = run()
    print(header(["preset", "`dtype`", "against the same cache in float32", "against the uncached picture"], 2))
    for preset in _PRESETS:
        wide: Tensor | None = None
        for dtype in _DTYPES:
            config = lesa.load_config(preset, overrides=[f"engine.history.dtype={dtype}"])
            with lesa.accelerate(pipe, config):
                made = run()
            wide = made if wide is None else wide
            near, far = _psnr(made, wide), _psnr(made, uncached)
            closeness = "" if made is wide else f"{number(statistics.fmean(near), 1)} ({number(min(near), 1)})"
            print(f"| `{preset}` | {dtype} | {closeness} | {number(statistics.fmean(far), 2)} |", flush=True)


def _psnr(pictures: Tensor, others: Tensor) -> Sequence[float]:
    """For each picture, in dB."""
    return (-10 * (pictures - others).square().mean((1, 2, 3)).log10()).tolist()  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
