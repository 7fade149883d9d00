from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint
from lesa_reference.trainer import Trainer


class LineTrainer(Trainer):
    """Fits a line; each step's data depend on the step alone."""

    def __init__(self, steps: int) -> None:
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        super().__init__(model, [torch.optim.AdamW(model.parameters(), lr=0.05)], steps)

    def loss(self) -> Tensor:
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(self.step))
        return (self.model(x) - x.sum(1, keepdim=True)).square().mean()


def test_training_learns() -> None:
    losses = list(LineTrainer(200).train())
    assert losses[-1] < 0.01 * losses[0]


def test_resumed_training_equals_one_that_never_stopped(tmp_path: Path) -> None:
    whole = LineTrainer(40)
    expected = list(whole.train())
    first = LineTrainer(40)
    running = first.train()
    got = [next(running) for _ in range(15)]
    save_checkpoint(tmp_path / "c.safetensors", first.state())
    second = LineTrainer(40)
    second.load(load_checkpoint(tmp_path / "c.safetensors"))
    got += list(second.train())
    assert got == expected
    assert torch.equal(whole.model.weight, second.model.weight)
