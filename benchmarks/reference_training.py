"""How many steps a second the reference models' training takes, beside another checkout of it.

python benchmarks/reference_training.py flux                                   # this checkout
python benchmarks/reference_training.py flux --against ../other --threads 2    # and another, in turns
python benchmarks/reference_training.py flux --against ../other --batch 2      # where launches take longest

Each checkout runs in a process of its own. They take turns, a few steps each, so that a busy machine slows both alike;
the ratio is the median over the turns. Drawing scenes is part of a step where a checkout draws in its steps.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

_HERE = Path(__file__).resolve().parent.parent
_STAGES = ("denoiser", "vae", "caption_score")
_SHAPES = {"flux": (8, 16, 16), "qwen_image": (8, 1, 16, 16), "hunyuan_video": (12, 3, 12, 12)}
#: Scenes that both learn from; what they are does not change the speed.
_SCENES = 128


@dataclass(frozen=True)
class Case:
    """What is timed: a stage of a model's training, with a batch size and the sizes of its transformer."""

    backbone: str
    stage: str
    batch: int
    sizes: tuple[int, ...]
    device: str


def main(
    backbone: Annotated[str, typer.Argument(help=f"Reference model: {', '.join(_SHAPES)}.")] = "flux",
    stage: Annotated[str, typer.Option(help=f"Part of the training: {', '.join(_STAGES)}.")] = "denoiser",
    batch: Annotated[int, typer.Option(min=1, help="Scenes a step.")] = 64,
    sizes: Annotated[str, typer.Option(help="Heads, blocks, single and refiner blocks; the bundled if absent.")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    against: Annotated[Path | None, typer.Option(help="Another checkout of this repository.")] = None,
    turns: Annotated[int, typer.Option(min=1, help="How often each checkout is timed.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Steps a turn.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Time steps of a reference model's training."""
    if backbone not in _SHAPES or stage not in _STAGES:
        raise typer.BadParameter(f"'{backbone}' or '{stage}' is not known.")
    case = Case(backbone, stage, batch, tuple(int(part) for part in sizes.split(",") if part), device)
    checkouts = {"here": _HERE} | ({"against": against.resolve()} if against else {})
    processes = {name: _start(folder, case, threads) for name, folder in checkouts.items()}
    times: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(turns):
        for name, process in processes.items():
            times[name].append(_turn(process, steps) / steps)
    for process in processes.values():
        _pipe(process.stdin).close()
        process.wait()
    result: dict[str, Any] = {**asdict(case), "threads": threads, "steps": steps * turns}
    result |= {f"steps_per_s_{name}": round(1 / statistics.median(seconds), 3) for name, seconds in times.items()}
    if against:
        ratios = [old / new for old, new in zip(times["against"], times["here"], strict=True)]
        result |= {"faster": round(statistics.median(ratios), 2), "from": round(min(ratios), 2)}
        result |= {"to": round(max(ratios), 2)}
    print(json.dumps(result))


def _start(folder: Path, case: Case, threads: int) -> subprocess.Popen[str]:
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), PYTHONPATH=f"{folder}:{folder / 'plugins'}")
    command = [sys.executable, __file__, "--serve", json.dumps(asdict(case))]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _pipe(pipe: Any) -> Any:
    if pipe is None:
        raise RuntimeError("a process was started without pipes")
    return pipe


def _turn(process: subprocess.Popen[str], steps: int) -> float:
    """Seconds of some steps in another process."""
    print(steps, file=_pipe(process.stdin), flush=True)
    answer = _pipe(process.stdout).readline()
    if not answer:
        raise typer.Exit(process.wait() or 1)  # it has said on standard error what went wrong
    return float(answer)


def serve(case: Case) -> None:
    """Answer each number of steps on standard input with the seconds that they took."""
    import torch

    torch.manual_seed(0)
    trainer = (_trainer if find_spec("lesa_reference.pool") else _trainer_that_draws)(case)
    losses = trainer.train()
    wait: Callable[[], object] = torch.cuda.synchronize if case.device == "cuda" else lambda: None
    next(losses)  # the first step allocates
    for line in sys.stdin:
        wait()
        start = time.perf_counter()
        for _ in range(int(line)):
            next(losses)
        wait()
        print(time.perf_counter() - start, flush=True)


def _trainer(case: Case) -> Any:
    import numpy as np
    import torch

    from lesa_reference.caption_network import CaptionNetwork, CaptionNetworkTrainer
    from lesa_reference.denoiser import DenoiserTrainer, Examples
    from lesa_reference.pool import Pool
    from lesa_reference.sizes import SIZES, Backbone, Sizes
    from lesa_reference.stages import RECIPES
    from lesa_reference.vae import VaeTrainer

    backbone = Backbone(case.backbone)
    recipe, rng = RECIPES[backbone], np.random.default_rng(0)
    scenes = [recipe.draw(rng) for _ in range(_SCENES)]
    pool = Pool(torch.from_numpy(np.stack([pixels for pixels, _ in scenes])), [caption for _, caption in scenes])
    if case.stage == "denoiser":
        model = recipe.denoiser(Sizes(*case.sizes) if case.sizes else SIZES[backbone]).to(case.device)
        examples = Examples(torch.randn(_SCENES, *_SHAPES[case.backbone]), pool.captions)
        return DenoiserTrainer(model, examples, 10**6, 0, case.batch)
    vae = recipe.codec.new().to(case.device)
    if case.stage == "vae":
        return VaeTrainer(vae, recipe.codec, pool.pixels, 10**6, 0, case.batch)
    return CaptionNetworkTrainer(CaptionNetwork().to(case.device), vae, recipe.codec, pool, 10**6, 0, case.batch)


def _trainer_that_draws(case: Case) -> Any:
    """The same of a checkout from before the pool of scenes. Type checkers only know this checkout."""
    import numpy as np
    import torch

    train: Any = __import__("lesa_reference.train", fromlist=["RECIPES"])
    denoiser: Any = __import__("lesa_reference.denoiser", fromlist=["Examples"])
    caption_network: Any = __import__("lesa_reference.caption_network", fromlist=["CaptionNetwork"])
    vae_module: Any = __import__("lesa_reference.vae", fromlist=["VaeTrainer"])
    recipe = train.RECIPES[case.backbone]
    if case.stage == "denoiser":
        model = recipe.denoiser()
        if case.sizes:
            names = ("num_attention_heads", "num_layers", "num_single_layers", "num_refiner_layers")
            config = dict(model.transformer.config)
            config |= {name: size for name, size in zip(names, case.sizes, strict=False) if name in config}
            model.transformer = type(model.transformer).from_config(config)
        rng = np.random.default_rng(0)
        captions = [recipe.codec.draw(rng)[1] for _ in range(_SCENES)]
        examples = denoiser.Examples(torch.randn(_SCENES, *_SHAPES[case.backbone]), captions)
        return denoiser.DenoiserTrainer(model.to(case.device), examples, 10**6, 0, case.batch)
    vae = recipe.codec.new().to(case.device)
    if case.stage == "vae":
        return vae_module.VaeTrainer(vae, recipe.codec, 10**6, 0, case.batch)
    network = caption_network.CaptionNetwork().to(case.device)
    return caption_network.CaptionNetworkTrainer(network, vae, recipe.codec, 10**6, 0, case.batch)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        fields = json.loads(sys.argv[2])
        serve(Case(**{**fields, "sizes": tuple(fields["sizes"])}))
    else:
        typer.run(main)
