"""Train a reference model from scratch: `python -m lesa_reference.train flux --out DIR`.

Stages: VAE, encoding of the scenes, denoiser with its text encoders, network of the caption score, pipeline folder.
Every stage saves its state regularly, and the same command resumes an interrupted training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import save

from lesa_framework.files import write_bytes
from lesa_framework.training import load_checkpoint, save_checkpoint
from lesa_reference.caption_network import CaptionNetwork, CaptionNetworkTrainer
from lesa_reference.codec import ClipCodec, Codec, PictureCodec, QwenPictureCodec, Vae
from lesa_reference.denoiser import Denoiser, DenoiserTrainer, Examples, encode_examples
from lesa_reference.flux import FluxDenoiser
from lesa_reference.hunyuan_video import HunyuanVideoDenoiser
from lesa_reference.qwen_image import QwenImageDenoiser
from lesa_reference.trainer import Trainer
from lesa_reference.vae import VaeTrainer, calibrate

_SAVE_EVERY = 100
#: Reading the loss makes a GPU wait, so it isn't read on every step.
_SHOW_EVERY = 10
console = Console(stderr=True)


class Backbone(StrEnum):
    """Transformer classes that have a reference model."""

    flux = "flux"
    qwen_image = "qwen_image"
    hunyuan_video = "hunyuan_video"


@dataclass(frozen=True)
class Recipe:
    """What is trained for a transformer class, and with which batch sizes."""

    denoiser: Callable[[], Denoiser]
    codec: Codec
    batch: int = 64
    vae_batch: int = 16


RECIPES = {
    Backbone.flux: Recipe(FluxDenoiser, PictureCodec()),
    Backbone.qwen_image: Recipe(QwenImageDenoiser, QwenPictureCodec()),
    Backbone.hunyuan_video: Recipe(HunyuanVideoDenoiser, ClipCodec(), batch=32, vae_batch=6),
}


def main(
    backbone: Annotated[Backbone, typer.Argument(help="Transformer class to train.")],
    out: Annotated[Path, typer.Option(help="Folder for the pipeline; checkpoints go to its work/.")],
    seed: Annotated[int, typer.Option(help="Seed of weights, scenes and noise.")] = 0,
    vae_steps: Annotated[int, typer.Option(min=1, help="Steps of the VAE (16 pictures or 6 clips each).")] = 1700,
    examples: Annotated[int, typer.Option(min=64, help="Scenes or clips to train the denoiser on.")] = 24000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the denoiser (64 scenes or 32 clips each).")] = 5600,
    score_steps: Annotated[
        int,
        typer.Option(
            "--score-steps", "--judge-steps", min=0, help="Steps of the caption score (64 pictures each); may be 0."
        ),
    ] = 1500,
    device: Annotated[str | None, typer.Option(help="cuda or cpu; the GPU when there is one.")] = None,
) -> None:
    """Train a reference model and write it as a diffusers pipeline folder.

    Each bundled model took about an hour on one or two CPU cores; a GPU needs minutes. You can stop it at any time; the
    same command resumes.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    work = out / "work"
    torch.manual_seed(seed)
    recipe = RECIPES[backbone]
    vae = _vae(recipe, work, vae_steps, seed, place)
    data = _examples(recipe.codec, work, vae, seed, examples)
    model = recipe.denoiser().to(place)
    trainer = DenoiserTrainer(model, data, steps, seed, recipe.batch)
    _run(trainer, work / "denoiser.safetensors", "denoiser")
    pipeline = trainer.average.float().pipeline(vae.float())
    # The large parts are stored in half precision. Text encoders stay in float32, because transformers loads
    # them in the precision they are stored in.
    pipeline.transformer.half()
    pipeline.vae.half()
    pipeline.save_pretrained(out)
    console.print(f"[bold]{out}[/]: {sum(f.stat().st_size for f in _weights(out)) / 2**20:.2f} MiB of weights")
    if not score_steps:
        return
    network = CaptionNetwork().to(place)
    training = CaptionNetworkTrainer(network, vae.float().to(place), recipe.codec, score_steps, seed)
    _run(training, work / "caption-network-training.safetensors", "caption score")
    weights = {name: tensor.half() for name, tensor in network.state_dict().items()}
    write_bytes(work / "caption_network.safetensors", save(weights))


def _weights(folder: Path) -> Iterable[Path]:
    return (file for part in folder.iterdir() if part.name != "work" for file in part.glob("*.safetensors"))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console,
    )  # fmt: skip


def _run(trainer: Trainer, checkpoint: Path, name: str) -> None:
    if checkpoint.exists():
        trainer.load(load_checkpoint(checkpoint))
    with _progress() as progress:
        task = progress.add_task(name, total=trainer.steps, completed=trainer.step, note="")
        smooth = None
        for loss in trainer.train():
            smooth = loss if smooth is None else smooth.lerp(loss, 0.02)
            if trainer.step % _SHOW_EVERY == 0 or trainer.step == trainer.steps:
                progress.update(task, completed=trainer.step, note=f"loss {float(smooth):.4f}")
            if trainer.step % _SAVE_EVERY == 0 or trainer.step == trainer.steps:
                save_checkpoint(checkpoint, trainer.state())
                if not console.is_terminal:
                    console.print(f"{name} {trainer.step}/{trainer.steps} loss {float(smooth):.4f}")
    trainer.model.eval()


def _vae(recipe: Recipe, work: Path, steps: int, seed: int, device: torch.device) -> Vae:
    if (work / "vae").exists():
        kept = recipe.codec.load(str(work / "vae"))
        kept.register_to_config(_name_or_path="")  # otherwise the saved model would name the folder it was trained in
        return kept.to(device).eval()
    vae = recipe.codec.new().to(device)
    _run(VaeTrainer(vae, recipe.codec, steps, seed, recipe.vae_batch), work / "vae-training.safetensors", "vae")
    calibrate(vae, recipe.codec, seed)
    vae.save_pretrained(work / "vae")
    return vae.eval()


def _examples(codec: Codec, work: Path, vae: Vae, seed: int, count: int) -> Examples:
    path = work / "examples.safetensors"
    if path.exists():
        kept = load_checkpoint(path)
        if len(kept["captions"]) == count:
            return Examples(kept["latents"].float(), kept["captions"])
    parts: list[Examples] = []
    with _progress() as progress:
        task = progress.add_task("encoding scenes", total=count, note="")
        for part in encode_examples(vae, codec, seed, count):
            parts.append(part)
            progress.update(task, advance=len(part.captions))
    data = Examples(torch.cat([part.latents for part in parts]), [text for part in parts for text in part.captions])
    save_checkpoint(path, {"latents": data.latents.half(), "captions": data.captions})
    return data


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
