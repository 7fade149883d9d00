"""The stages of a reference model's training: scenes, VAE, latents, denoiser, caption score.

Every stage saves its state regularly, and goes on from it when it is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from lesa_framework import ConfigError, in_one_line
from lesa_framework.files import write_bytes
from lesa_framework.training import load_checkpoint, save_checkpoint
from lesa_reference.caption_network import CaptionNetwork, CaptionNetworkTrainer
from lesa_reference.codec import ClipCodec, Codec, PictureCodec, QwenPictureCodec, Vae
from lesa_reference.denoiser import Denoiser, DenoiserTrainer, Examples, encode_examples
from lesa_reference.drawing import Draw, draw_clip, draw_picture
from lesa_reference.flux import FluxDenoiser
from lesa_reference.hunyuan_video import HunyuanVideoDenoiser
from lesa_reference.pool import Pool, draw_pool
from lesa_reference.qwen_image import QwenImageDenoiser
from lesa_reference.saving import is_whole, save_folder
from lesa_reference.shards import SHARD
from lesa_reference.sizes import SIZES, Backbone, Sizes
from lesa_reference.trainer import Trainer
from lesa_reference.vae import VaeTrainer, calibrate

_SAVE_EVERY = 100
#: Reading the loss makes a GPU wait, so it isn't read on every step.
_SHOW_EVERY = 10
#: Scenes from which the VAE's normalisation is computed.
_CALIBRATION = 256
console = Console(stderr=True)


@dataclass(frozen=True)
class Recipe:
    """What is trained for a transformer class, and with which batch sizes."""

    denoiser: Callable[[Sizes], Denoiser]
    codec: Codec
    draw: Draw
    batch: int = 64
    vae_batch: int = 16


RECIPES = {
    Backbone.flux: Recipe(FluxDenoiser, PictureCodec(), draw_picture),
    Backbone.qwen_image: Recipe(QwenImageDenoiser, QwenPictureCodec(), draw_picture),
    Backbone.hunyuan_video: Recipe(HunyuanVideoDenoiser, ClipCodec(), draw_clip, batch=32, vae_batch=6),
}


class Stages:
    """The training of one model in one folder.

    Args:
        backbone: Whose recipe is followed.
        work: Folder of the checkpoints of this one training.
        seed: Seed of weights, scenes and noise.
        count: How many scenes or clips are drawn.
        workers: Processes that draw them.
        device: Where everything is trained.
    """

    def __init__(
        self, backbone: Backbone, work: Path, seed: int, count: int, workers: int, device: torch.device
    ) -> None:
        self.backbone, self.recipe = backbone, RECIPES[backbone]
        self.work, self.seed, self.count, self.workers, self.device = work, seed, count, workers, device

    @cached_property
    def pool(self) -> Pool:
        """The scenes; drawn only when a stage needs them."""
        with _progress() as progress:
            task = progress.add_task("drawing scenes", total=-(-self.count // SHARD) * SHARD, note="")
            folder, draw = self.work / "scenes", self.recipe.draw
            return draw_pool(draw, folder, self.seed, self.count, self.workers, lambda n: progress.advance(task, n))

    def vae(self, steps: int) -> Vae:
        """The VAE that was trained in this folder, or a new one."""
        folder = self.work / "vae"
        if not is_whole(folder):
            self._train_vae(steps, folder)
        return self.load_vae(folder)  # also when it was just trained: a resumed training must go on from the very same

    def load_vae(self, folder: Path) -> Vae:
        """A trained VAE.

        Raises:
            ConfigError: It is not in the folder.
        """
        codec = self.recipe.codec
        try:
            if not folder.is_dir():  # diffusers would look for it on the hub
                raise FileNotFoundError("there is no such folder")
            kept = codec.load(str(folder))
        except (OSError, RuntimeError, SafetensorError, ValueError) as error:
            raise ConfigError(
                f"{folder}: not the folder of a trained {codec.vae_class.__name__} ({in_one_line(error)[:200]})."
            ) from error
        kept.register_to_config(_name_or_path="")  # otherwise the saved model would name where it was trained
        return kept.float().to(self.device).eval()

    def _train_vae(self, steps: int, folder: Path) -> None:
        torch.manual_seed(self.seed)  # for each stage, so that it starts alike in a resumed training
        codec = self.recipe.codec
        vae = codec.new().to(self.device)
        trainer = VaeTrainer(vae, codec, self.pool.pixels, steps, self.seed, self.recipe.vae_batch)
        _run(trainer, self.work / "vae-training.safetensors", "vae")
        calibrate(vae, codec, self.pool.pixels[:_CALIBRATION])
        save_folder(vae.save_pretrained, folder)

    def examples(self, vae: Vae) -> Examples:
        """The scenes as the denoiser learns them."""
        path = self.work / "examples.safetensors"
        if not path.exists():
            self._encode(vae, path)
        kept = load_checkpoint(path)  # also when just encoded: a resumed training reads them in half precision
        return Examples(kept["latents"].float(), kept["captions"])

    def _encode(self, vae: Vae, path: Path) -> None:
        parts: list[Tensor] = []
        pool = self.pool
        with _progress() as progress:
            task = progress.add_task("encoding scenes", total=self.count, note="")
            for part in encode_examples(vae, self.recipe.codec, pool):
                parts.append(part.latents)
                progress.update(task, advance=len(part.captions))
        save_checkpoint(path, {"latents": torch.cat(parts).half(), "captions": pool.captions})

    def denoiser(
        self, examples: Examples, steps: int, seconds: float | None, start: Denoiser | None, compiled: bool
    ) -> Denoiser:
        """The average of a trained denoiser; its last weights go to `raw.safetensors`.

        Args:
            examples: What it learns from.
            steps: Length of the training.
            seconds: Length of the training in time, instead of `steps`.
            start: The denoiser to train on; None begins with a new one.
            compiled: Whether it is compiled.
        """
        torch.manual_seed(self.seed)
        model = start or self.recipe.denoiser(SIZES[self.backbone])
        trainer = DenoiserTrainer(
            model.to(self.device), examples, steps, self.seed, self.recipe.batch, seconds, compiled
        )
        _run(trainer, self.work / "denoiser.safetensors", "denoiser")
        _save_weights(self.work / "raw.safetensors", model)
        average = trainer.average
        assert isinstance(average, Denoiser)
        return average

    def caption_score(self, vae: Vae, steps: int) -> None:
        """Train the network of the caption score, and write it to the work folder."""
        torch.manual_seed(self.seed)
        network = CaptionNetwork().to(self.device)
        trainer = CaptionNetworkTrainer(network, vae, self.recipe.codec, self.pool, steps, self.seed)
        _run(trainer, self.work / "caption-network-training.safetensors", "caption score")
        _save_weights(self.work / "caption_network.safetensors", network)


def load_denoiser(backbone: Backbone, path: Path) -> Denoiser:
    """A denoiser with the weights of a file, in whose sizes it is built.

    Args:
        backbone: The transformer class.
        path: A safetensors file, as the training leaves it in `work/raw.safetensors`.

    Raises:
        ConfigError: The file holds something else.
    """
    try:
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        broken = next((name for name, tensor in weights.items() if not tensor.isfinite().all()), None)
        if broken:
            raise ValueError(f"'{broken}' is not finite")
        model = RECIPES[backbone].denoiser(Sizes.of(weights))
        _load_weights(model, weights)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        reason = in_one_line(error)[:200]
        raise ConfigError(
            f"--continue-from {path}: not the weights of a {backbone} denoiser ({reason}). Give the raw.safetensors "
            "that a training of this class left."
        ) from error
    return model


def _load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    missing = model.state_dict().keys() ^ weights.keys()
    if missing:
        raise KeyError(f"{min(missing)} is in only one of them")
    model.load_state_dict(weights)


def _save_weights(path: Path, model: nn.Module) -> None:
    write_bytes(path, save({name: tensor.half().cpu() for name, tensor in model.state_dict().items()}))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console,
        disable=not console.is_terminal,
    )  # fmt: skip


def _run(trainer: Trainer, checkpoint: Path, name: str) -> None:
    # A training whose length is a time counts seconds.
    total, unit = (trainer.steps, "steps") if trainer.seconds is None else (round(trainer.seconds), "seconds")

    def spent() -> int:
        return int(trainer.done * total)

    if checkpoint.exists():
        trainer.load(load_checkpoint(checkpoint))
        if trainer.done >= 1:
            console.print(f"{name}: nothing is left to train: {spent()} of {total} {unit} are done")
        else:
            console.print(f"{name}: resuming after step {trainer.step}, {1 - trainer.done:.0%} are left")
    with _progress() as progress:
        task = progress.add_task(name, total=total, completed=spent(), note="")
        smooth = None
        for loss in trainer.train():
            smooth = loss if smooth is None else smooth.lerp(loss, 0.02)
            last = trainer.done >= 1
            if trainer.step % _SHOW_EVERY == 0 or last:
                progress.update(task, completed=spent(), note=f"loss {float(smooth):.4f}")
            if trainer.step % _SAVE_EVERY == 0 or last:
                save_checkpoint(checkpoint, trainer.state())
                if not console.is_terminal:
                    console.print(f"{name} {spent()}/{total} {unit}, step {trainer.step}, loss {float(smooth):.4f}")
    trainer.model.eval()
