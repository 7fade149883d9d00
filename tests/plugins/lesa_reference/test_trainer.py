from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint
from lesa_reference.trainer import Trainer


class LineTrainer(Trainer):
    """Fits a line; each step's data depend on the step alone, and its dropout on the global random numbers."""

    def __init__(self, steps: int, seconds: float | None = None, compiled: bool = False) -> None:
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.05)
        super().__init__(model, [optimiser], steps, seconds=seconds, compiled=compiled)

    def loss(self) -> Tensor:
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(self.step))
        x = nn.functional.dropout(x, 0.01)
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


def test_the_learning_rate_is_a_trapezoid() -> None:
    trainer = LineTrainer(100)
    rates = [trainer.optimisers[0].param_groups[0]["lr"] / 0.05 for _ in trainer.train()]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert set(rates[1:61]) == {1.0}
    assert rates[70] == pytest.approx(0.75)
    assert rates[99] == pytest.approx(1 / 40)


def test_a_training_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("lesa_reference.trainer.perf_counter", lambda: float(next(clock)))
    trainer = LineTrainer(1, seconds=100)
    rates = [trainer.optimisers[0].param_groups[0]["lr"] / 0.05 for _ in trainer.train()]
    assert len(rates) == 100
    assert rates[:3] == [0.02, 0.5, 1.0]
    assert rates[60] == 1.0
    assert rates[80] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 40)


def test_the_time_of_a_resumed_training_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("lesa_reference.trainer.perf_counter", lambda: float(next(clock)))
    first = LineTrainer(1, seconds=10)
    running = first.train()
    for _ in range(4):
        next(running)
    second = LineTrainer(1, seconds=10)
    second.load(first.state())
    assert len(list(second.train())) == 6


def test_the_time_of_compiling_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> None:
        """A clock that shows 0, 500 after the first step, and a second more after each further step."""
        clock = iter([0, *range(500, 1000)])
        monkeypatch.setattr("lesa_reference.trainer.perf_counter", lambda: float(next(clock)))

    start()
    assert len(list(LineTrainer(1, seconds=10).train())) == 1
    start()
    first = LineTrainer(1, seconds=10, compiled=True)
    running = first.train()
    for _ in range(4):
        next(running)
    assert first.elapsed == 3.0
    start()  # a resumed training compiles anew
    second = LineTrainer(1, seconds=10, compiled=True)
    second.load(first.state())
    assert len(list(second.train())) == 1 + 7
    assert second.elapsed == 10.0
