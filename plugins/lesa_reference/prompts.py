"""Draws prompts: `python -m lesa_reference.prompts flux --seed 1 --count 64 --out prompts.txt`.

A caption belongs to the training of predictors or to the held-out prompts, never to both:

- the first 256 captions that training draws with each of the seeds 0 to 3 are for training, among them the presets';
- of all other captions, a hash of the text decides.

So no evaluation that draws its prompts, with whatever seed, meets a prompt of a training that drew its own. The models
and the caption score were trained on scenes of the same grammar, from seeds below `HELD_OUT_SEED`. Held-out scenes come
from seeds at or above it, but their captions may coincide: "a red ring" surely occurred in the models' own training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
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
from lesa_reference.scenes import SHAPES, TEXTURES, Scene

#: The most prompts that are drawn at once; drawing so many different ones takes some seconds.
MOST = 10_000
#: The random stream of prompts for predictor training, separate from those of the models' own training.
_TRAINING_STREAM = 5
#: The training draws that were in use before the hash decided: the seeds below the first, so many captions of each.
_EARLY_SEEDS, _EARLY_COUNT = 4, 256
#: Words of a caption that make a picture hard to judge at a glance.
_HARD_WORDS = {"letter", *TEXTURES[1:]}

#: The shapes that each model draws best, alone on one colour: FLUX's can be named without the caption.
_DRAWN_WELL = {
    "flux": {"circle", "ring", "triangle", "diamond"},
    "qwen_image": {"circle"},
    "hunyuan_video": {"circle"},
}
#: So many of the demo's prompts ask for those; it shows eight. There are only some thirty such captions for a shape.
_WELL_COUNT = 16

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
        training: Draw for the training of a predictor: captions that held-out prompts never have.
        backbone: The reference model; clips have captions of their own.

    Raises:
        ConfigError: More than `MOST`.
    """
    return _first(_training(backbone, seed) if training else _held_out(backbone, seed), count)


def draw_demo_prompts(seed: int, count: int, *, backbone: str = "flux") -> list[str]:
    """`count` different held-out captions whose pictures are easy to judge.

    They name the background and one or two plain shapes; of other scenes a caption tells only a part. The first
    sixteen name a single shape, of those that the model draws well.

    Args:
        seed: As for [`draw_prompts`][lesa_reference.prompts.draw_prompts].
        count: How many.
        backbone: The reference model.

    Raises:
        ConfigError: More than `MOST`.
    """
    well = _first(filter(partial(_drawn_well, backbone), _held_out(backbone, seed)), _WELL_COUNT)
    easy = (caption for caption in _held_out(backbone, seed) if _easy(caption) and caption not in well)
    return [*well, *_first(easy, count)][:count]


def _first(captions: Iterator[str], count: int) -> list[str]:
    if count > MOST:
        raise ConfigError(f"prompts: at most {MOST:,} are drawn, not {count}.")
    return list(islice(captions, count))


def _training(backbone: str, seed: int) -> Iterator[str]:
    early = _early(backbone, seed) if seed < _EARLY_SEEDS else ()
    yield from early
    drawn = _captions(backbone, [seed, _TRAINING_STREAM])
    yield from (caption for caption in drawn if _for_training(caption) and caption not in early)


def _held_out(backbone: str, seed: int) -> Iterator[str]:
    taken = {caption for number in range(_EARLY_SEEDS) for caption in _early(backbone, number)}
    drawn = _captions(backbone, [HELD_OUT_SEED + seed, 0])
    yield from (caption for caption in drawn if not _for_training(caption) and caption not in taken)


@cache
def _early(backbone: str, seed: int) -> tuple[str, ...]:
    return tuple(islice(_captions(backbone, [seed, _TRAINING_STREAM]), _EARLY_COUNT))


def _captions(backbone: str, seed: list[int]) -> Iterator[str]:
    """Different captions without end."""
    rng = np.random.default_rng(seed)
    seen: set[str] = set()
    while True:
        caption = _DRAWN[backbone](rng).caption
        if caption not in seen:
            seen.add(caption)
            yield caption


def _for_training(caption: str) -> bool:
    return hashlib.sha256(caption.encode()).digest()[0] % 2 == 0


def _easy(caption: str) -> bool:
    words = caption.split()
    return words[-2] == "on" and not _HARD_WORDS.intersection(words)


def _drawn_well(backbone: str, caption: str) -> bool:
    shapes = [word for word in caption.split() if word in SHAPES]
    return _easy(caption) and len(shapes) == 1 and shapes[0] in _DRAWN_WELL[backbone]


def main(
    backbone: Annotated[str, typer.Argument(help=f"Reference model: {', '.join(_DRAWN)}.")],
    seed: Annotated[int, typer.Option(min=0, max=HELD_OUT_SEED - 1, help="Another seed draws other prompts.")] = 0,
    count: Annotated[int, typer.Option(min=1, max=MOST, help="How many prompts.")] = 64,
    demo: Annotated[bool, typer.Option("--demo", help="Only captions of plain shapes and background.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="File to write, one prompt on each line; standard output if absent.")
    ] = None,
) -> None:
    """Draw held-out prompts for a reference model, one on each line.

    Example: python -m lesa_reference.prompts flux --seed 1 --count 64 --out prompts.txt
    """
    if backbone not in _DRAWN:
        raise typer.BadParameter(f"'{backbone}' is not a reference model. Known: {', '.join(_DRAWN)}.")
    draw = draw_demo_prompts if demo else draw_prompts
    text = "\n".join(draw(seed, count, backbone=backbone)) + "\n"
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
