"""Train a reference model: `python -m lesa_reference.train flux --out DIR`.

Stages: scenes, VAE, encoding of the scenes, denoiser with its text encoders, network of the caption score, pipeline
folder. Every stage saves its state regularly, and the same command resumes an interrupted training.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from lesa_framework.cli import answer_signals, serve

if __name__ == "__main__":
    answer_signals()

import typer

from lesa_reference.captions import HELD_OUT_SEED
from lesa_reference.sizes import Backbone

# Nothing heavy is imported here: the processes that draw scenes import the main module too.
if TYPE_CHECKING:
    from collections.abc import Iterable


def main(
    backbone: Annotated[Backbone, typer.Argument(help="Transformer class to train.")],
    out: Annotated[Path, typer.Option(help="Folder for the pipeline; checkpoints go to its work/.")],
    seed: Annotated[int, typer.Option(min=0, max=HELD_OUT_SEED - 1, help="Seed of weights, scenes and noise.")] = 0,
    vae: Annotated[Path | None, typer.Option(help="Folder of a trained VAE to use, instead of training one.")] = None,
    vae_steps: Annotated[int, typer.Option(min=1, help="Steps of the VAE (16 pictures or 6 clips each).")] = 1700,
    examples: Annotated[int, typer.Option(min=64, help="Scenes or clips to draw and to train on.")] = 24000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that draw scenes; one for each core if absent.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the denoiser (64 scenes or 32 clips each).")] = 5600,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Train the denoiser for so long, instead of for --steps.")
    ] = None,
    continue_from: Annotated[
        Path | None,
        typer.Option(help="Begin with the denoiser weights of another training, its work/raw.safetensors. Add --vae."),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the denoiser: slow to start, faster steps.")
    ] = False,
    score_steps: Annotated[
        int, typer.Option(min=0, help="Steps of the caption score (64 pictures each); may be 0.")
    ] = 1500,
    device: Annotated[str | None, typer.Option(help="cuda or cpu; the GPU when there is one.")] = None,
) -> None:
    """Train a reference model and write it as a diffusers pipeline folder.

    The defaults take between one and two hours on two CPU cores. You can stop at any time; the same command resumes.
    """
    if continue_from and not vae:
        raise typer.BadParameter(
            "--continue-from: the weights go with the VAE that they were trained with. Add --vae FOLDER, the vae/ of "
            "that training's pipeline."
        )
    import torch

    from lesa_framework.files import write_text
    from lesa_framework.pipelines import device_for
    from lesa_reference.saving import is_whole, save_folder
    from lesa_reference.stages import Stages, console, load_denoiser
    from lesa_reference.started import content_of, start_or_resume

    work, place = out / "work", torch.device(device_for(device))
    stages = Stages(backbone, work, seed, examples, workers or torch.get_num_threads(), place)
    # What is given is read first: drawing the scenes takes minutes.
    start = load_denoiser(backbone, continue_from) if continue_from else None
    given_vae = stages.load_vae(vae) if vae else None
    decisive = {
        "backbone": backbone, "seed": seed, "examples": examples, "vae": content_of(vae),
        "vae-steps": None if vae else vae_steps, "continue-from": content_of(continue_from),
    }  # fmt: skip
    start_or_resume(work, decisive)
    finished, lengths = work / "finished.json", json.dumps([steps, seconds, score_steps]) + "\n"
    if is_whole(out) and finished.is_file() and finished.read_text("utf-8") == lengths:
        console.print(f"nothing is left to do: {out} is from this training. Delete {work} to train again.")
        return
    finished.unlink(missing_ok=True)
    trained_vae = given_vae or stages.vae(vae_steps)
    data = stages.examples(trained_vae)
    denoiser = stages.denoiser(data, steps, seconds, start, compile_)
    pipeline = denoiser.float().pipeline(trained_vae)
    # The large parts are stored in half precision. Text encoders stay in float32, because transformers loads
    # them in the precision they are stored in.
    pipeline.transformer.half()
    pipeline.vae.half()
    save_folder(pipeline.save_pretrained, out)
    console.print(f"[bold]{out}[/]: {sum(f.stat().st_size for f in _weights(out)) / 2**20:.2f} MiB of weights")
    if score_steps:
        stages.caption_score(trained_vae.float().to(place), score_steps)
    write_text(finished, lengths)


def _weights(folder: Path) -> Iterable[Path]:
    return (file for part in folder.iterdir() if part.name != "work" for file in part.glob("*.safetensors"))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    serve(app)
