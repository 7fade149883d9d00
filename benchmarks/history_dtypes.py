"""Measures what a history in fewer bits costs, for docs/reference/memory.md: `python -m benchmarks.history_dtypes`.

PSNR in dB of pictures of the bundled FLUX, against the same cache in float32 and against uncached ones. It takes about
two minutes on a core.
"""

from __future__ import annotations

import statistics
from typing import Final

import torch
from torch import Tensor

import lesa_framework as lesa
from benchmarks.bundled import loaded, noise
from benchmarks.markup import header, number
from lesa_framework.training import closeness_db

_PAIRS: Final = 40
_PRESETS: Final = ("ref-flux-fitted-nfe10", "ref-flux-lesa-n7")
_DTYPES: Final = ("float32", "float16", "bfloat16", "float8_e4m3fn")


def main() -> None:
    """Run and print the table."""
    pipe, call = loaded(_PRESETS[0], _PAIRS)

    def run() -> Tensor:
        with torch.no_grad():
            made = pipe(**call, num_inference_steps=50, generator=noise(900, _PAIRS), output_type="pt")
        images: Tensor = made.images
        return images

    uncached = run()
    print(header(["preset", "`dtype`", "against the same cache in float32", "against the uncached picture"], 2))
    for preset in _PRESETS:
        wide: Tensor | None = None
        for dtype in _DTYPES:
            config = lesa.load_config(preset, overrides=[f"engine.history.dtype={dtype}"])
            with lesa.accelerate(pipe, config):
                made = run()
            wide = made if wide is None else wide
            # Of pictures, whose values are from 0 to 1, this is the PSNR.
            near, far = closeness_db(made, wide).tolist(), closeness_db(made, uncached).tolist()
            closeness = "" if made is wide else f"{number(statistics.fmean(near), 1)} ({number(min(near), 1)})"
            print(f"| `{preset}` | {dtype} | {closeness} | {number(statistics.fmean(far), 2)} |", flush=True)


if __name__ == "__main__":
    main()
