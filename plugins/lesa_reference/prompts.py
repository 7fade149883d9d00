"""Draws prompts: `python -m lesa_reference.prompts flux --seed 1 --count 64 --out prompts.txt`.

The scenes that the models and the caption score were trained on came from seeds below `HELD_OUT_SEED`. Prompts are
drawn from seeds at or above it, so they were never used in training. A short caption such as "a red ring" may still
occur in both: there are not many short ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from lesa_framework.cli import answer_signals, serve

if __name__ == "__main__":
    answer_signals()  # before anything heavy is imported

import numpy as np
import typer

from lesa_framework import ConfigError
from lesa_framework.files import write_text
from lesa_reference.captions import HELD_OUT_SEED, random_scene
from lesa_reference.motion import Clip, random_clip
from lesa_reference.scenes import Scene

#: The most prompts that are drawn at once; drawing so many different ones takes some seconds.
MOST = 10_000
#: The random stream of prompts for predictor training, separate from those of the models' own training.
_TRAINING_STREAM = 5


#: What each reference model was trained on.
_DRAWN: dict[str, Callable[[np.random.Generator], Scene | Clip]] = {
    "flux": random_scene,
    "qwen_image": random_scene,
    "hunyuan_video": random_clip,
}


def draw_prompts(seed: int, count: int, *, training: bool = False, backbone: str = "flux") -> list[str]:
    """`count` different captions.

    Args:
        seed: At least 0 and below `HELD_OUT_SEED`; another seed draws other prompts.
        count: How many.
        training: Draw for the training of a predictor, from a random stream that held-out prompts never use.
        backbone: The reference model; clips have captions of their own.

    Raises:
        ConfigError: More than `MOST`.
    """
    if count > MOST:
        raise ConfigError(f"prompts: at most {MOST:,} are drawn, not {count}.")
    rng = np.random.default_rng([seed, _TRAINING_STREAM] if training else [HELD_OUT_SEED + seed, 0])
    captions: dict[str, None] = {}
    while len(captions) < count:
        captions[_DRAWN[backbone](rng).caption] = None
    return list(captions)


def main(
    backbone: Annotated[str, typer.Argument(help=f"Reference model: {', '.join(_DRAWN)}.")],
    seed: Annotated[int, typer.Option(min=0, max=HELD_OUT_SEED - 1, help="Another seed draws other prompts.")] = 0,
    count: Annotated[int, typer.Option(min=1, max=MOST, help="How many prompts.")] = 64,
    out: Annotated[
        Path | None, typer.Option(help="File to write, one prompt on each line; standard output if absent.")
    ] = None,
) -> None:
    """Draw held-out prompts for a reference model, one on each line.

    Example: python -m lesa_reference.prompts flux --seed 1 --count 64 --out prompts.txt
    """
    if backbone not in _DRAWN:
        raise typer.BadParameter(f"'{backbone}' is not a reference model. Known: {', '.join(_DRAWN)}.")
    text = "\n".join(draw_prompts(seed, count, backbone=backbone)) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    if not out.parent.is_dir():
        raise typer.BadParameter(f"--out {out}: not a file in an existing folder.")
    write_text(out, text)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    serve(app)
