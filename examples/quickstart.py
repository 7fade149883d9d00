"""The shortest way from a prompt to a cached image, and to what the cache cost.

python examples/quickstart.py                      # the bundled model, no download
python examples/quickstart.py --model FOLDER       # any FLUX pipeline in diffusers' format, or a hub id

A folder brings no arguments of its own: give those that it is sampled with, such as --size 64
--call true_cfg_scale=4 --call negative_prompt= --call max_sequence_length=16 for a copy of the bundled model.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import yaml

import lesa_framework as lesa
from lesa_framework.pipelines import find_model, load_pipeline

CONFIG = {
    "schedule": {"kind": "fixed_interval", "interval": 7},  # computes steps 0 1 2 9 16 23 30 37 44
    "predictor": {"kind": "taylorseer", "order": 1},  # change this line to try another predictor
}


def main() -> None:
    """Make one image uncached and cached, save both, and print what happened."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="reference:flux")
    arguments.add_argument("--prompt", default="a red ring above a blue square")
    arguments.add_argument("--config", default=CONFIG, help="a YAML file or a preset's name")
    arguments.add_argument("--out", type=Path, default=Path())
    arguments.add_argument("--steps", type=int, default=50)
    arguments.add_argument("--size", type=int, help="height and width; the model's own by default")
    arguments.add_argument(
        "--call", action="append", default=[], metavar="KEY=VALUE", help="another argument of the pipeline; repeatable"
    )
    chosen = arguments.parse_args()
    given = [text.partition("=") for text in chosen.call]
    if not all(equals for _, equals, _ in given):
        arguments.error("--call: expected KEY=VALUE, for example max_sequence_length=128")

    source = find_model(chosen.model)
    pipe = load_pipeline(source)
    # A registered model brings the arguments to call it with (its size, its guidance).
    call = dict(source.named.call) if source.named else {}
    if chosen.size:
        call |= {"height": chosen.size, "width": chosen.size}
    # Values are YAML, so that 4 is a number; an empty one is an empty text.
    call |= {key: yaml.safe_load(value) if value.strip() else "" for key, _, value in given}
    said = ", ".join(f"{key}={value!r}" for key, value in call.items()) or "its own arguments"
    print(f"three runs of {chosen.steps} steps: a first one, uncached and cached; the pipeline gets {said}", flush=True)
    pipe.set_progress_bar_config(disable=False)  # load_pipeline turned it off

    def generate() -> tuple[torch.Tensor, float]:
        started = time.perf_counter()
        # Seeded on the CPU, so that every device starts from the same noise.
        noise = torch.Generator().manual_seed(0)
        image = pipe(prompt=chosen.prompt, num_inference_steps=chosen.steps, generator=noise, output_type="pt", **call)
        return image.images[0].float().cpu(), time.perf_counter() - started

    generate()  # the first run of a process is slower than the others
    uncached, slow = generate()
    with lesa.accelerate(pipe, chosen.config) as session:
        cached, fast = generate()

    print(session.report)
    error = (cached - uncached).square().mean()
    print(f"{slow:.2f} s uncached, {fast:.2f} s cached: {slow / fast:.2f}x; PSNR {-10 * torch.log10(error):.1f} dB")
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, image in (("uncached", uncached), ("cached", cached)):
        pipe.image_processor.numpy_to_pil(image.permute(1, 2, 0).numpy())[0].save(chosen.out / f"{name}.png")
        print(f"wrote {chosen.out / name}.png")


if __name__ == "__main__":
    main()
