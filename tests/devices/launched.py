"""What each process of a launcher runs: commands of `lesa` that fail in all, in none, and at last in one."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from lesa_framework import LesaError, cli
from lesa_framework.cli import run
from lesa_framework.launcher import launched
from lesa_framework.training.sampler import Sampler
from tests.cli.conftest import SMALL


def train(model: str, folder: Path, config: str, out: str) -> list[str]:
    """`lesa train` on a tiny model."""
    places = ["--prompts", str(folder / "prompts.txt"), "--model", model, "--out", str(folder / out)]
    return ["train", "--config", str(folder / f"{config}.yaml"), *places, *SMALL]


def main(model: str, folder: Path) -> None:
    """Run them; the exit codes go to a file of this process."""
    torch.set_num_threads(1)
    launch = launched()
    assert launch is not None
    codes = [run(["train", "--nonsense"]), run(["train", "--config", "nowhere.yaml", "--out", "nowhere"])]
    codes.append(run(train(model, folder, "fitted", "launched")))
    (folder / f"codes{launch.rank}").write_text(repr(codes), "utf-8")
    if launch.rank == 1:
        Sampler.run = _fails  # type: ignore[method-assign] # this process ends with it
    sys.argv[1:] = train(model, folder, "fitted", "failed")
    cli.main()


def _fails(*_: object, **__: object) -> torch.Tensor:
    raise LesaError("the second process failed")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
