"""The denoiser's training, on a denoiser of a few numbers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint
from lesa_reference.denoiser import Denoiser, DenoiserTrainer, Examples
from lesa_reference.text import Tokens

CAPTIONS = ["a red ring", "a blue star", "a red ring", "a white cross"]


class ToyDenoiser(Denoiser):
    """Two matrices in blocks, and a number for each caption."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.Module()
        self.transformer.toy_blocks = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4)])
        self.embedding = nn.Embedding(16, 4)
        self.read: list[list[str]] = []
        self.seen: list[int] = []

    def tokens(self, captions: Sequence[str]) -> Tokens:
        self.read.append(list(captions))
        ids = torch.tensor([[len(caption)] for caption in captions])
        return Tokens(ids, torch.ones_like(ids, dtype=torch.bool), ids[:, :0])

    def forward(self, latents: Tensor, sigma: Tensor, tokens: Tokens) -> Tensor:
        self.seen += tokens.sequence.flatten().tolist()
        hidden = latents + self.embedding(tokens.sequence[:, 0]) * sigma[:, None]
        for block in self.transformer.toy_blocks:
            hidden = torch.tanh(block(hidden))
        return hidden

    def pack(self, latents: Tensor) -> Tensor:
        return latents

    def pipeline(self, vae: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def trainer() -> DenoiserTrainer:
    torch.manual_seed(0)
    return DenoiserTrainer(ToyDenoiser(), Examples(torch.randn(4, 4), CAPTIONS), steps=60, seed=0, batch=4)


def test_captions_are_read_once(trainer: DenoiserTrainer) -> None:
    list(trainer.train())
    model = trainer.denoiser
    assert isinstance(model, ToyDenoiser)
    assert model.read == [["", "a red ring", "a blue star", "a white cross"]]
    # All captions come, and about every tenth is blanked.
    assert set(model.seen) == {0, 10, 11, 13}
    assert 0.05 < model.seen.count(0) / len(model.seen) < 0.2


def test_the_average_follows_the_weights_as_the_plain_formula(trainer: DenoiserTrainer) -> None:
    expected = copy.deepcopy(trainer.model)
    for step, _ in enumerate(trainer.train(), start=1):
        decay = min(0.999, (1 + step) / (10 + step))
        for kept, new in zip(expected.parameters(), trainer.model.parameters(), strict=True):
            kept.data.lerp_(new.data, 1 - decay)
    for kept, mine in zip(expected.parameters(), trainer.average.parameters(), strict=True):
        assert torch.equal(kept, mine)
    assert not any(torch.equal(a, b) for a, b in zip(trainer.model.parameters(), expected.parameters(), strict=True))


def test_the_loss_is_flow_matching_of_the_drawn_scenes(trainer: DenoiserTrainer) -> None:
    """Recomputed scene by scene from the numbers that the step draws."""
    model, latents = trainer.denoiser, trainer._latents
    random = torch.Generator().manual_seed(0)
    index, blank = torch.randint(4, (4,), generator=random), torch.rand(4, generator=random) < 0.1
    noise, sigma = torch.randn(4, 4, generator=random), torch.sigmoid(torch.randn(4, generator=random))
    total = torch.zeros(())
    for i, skip, eps, level in zip(index, blank, noise, 2 * sigma / (1 + sigma), strict=True):
        clean, caption = latents[i], "" if skip else CAPTIONS[i]
        velocity = model(((1 - level) * clean + level * eps)[None], level[None], model.tokens([caption]))[0]
        total += (velocity - (eps - clean)).square().mean() / 4
    assert torch.allclose(trainer.loss(), total, atol=1e-6)
    assert trainer.loss().item() == trainer.loss().item()


def test_the_first_call_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' models take a lock at it."""
    compiled: list[tuple[int, str]] = []

    def compile_(model: ToyDenoiser, mode: str) -> ToyDenoiser:
        compiled.append((len(model.seen), mode))
        return model

    monkeypatch.setattr(torch, "compile", compile_)
    torch.manual_seed(0)
    trainer = DenoiserTrainer(
        ToyDenoiser(), Examples(torch.randn(4, 4), CAPTIONS), steps=2, seed=0, batch=4, compiled=True
    )
    assert compiled == [(4, "default")]
    clock = iter([0.0, 500.0, 501.0])
    monkeypatch.setattr("lesa_reference.trainer.perf_counter", lambda: next(clock))
    assert len(list(trainer.train())) == 2
    assert trainer.elapsed == 1.0, "the step that compiles does not count"


def test_a_resumed_training_equals_one_that_never_stopped(tmp_path: Path) -> None:
    def new() -> DenoiserTrainer:
        torch.manual_seed(0)
        return DenoiserTrainer(ToyDenoiser(), Examples(torch.randn(4, 4), CAPTIONS), steps=8, seed=0, batch=4)

    whole, first, second = new(), new(), new()
    expected = list(whole.train())
    running = first.train()
    got = [next(running) for _ in range(3)]
    save_checkpoint(tmp_path / "c.safetensors", first.state())
    second.load(load_checkpoint(tmp_path / "c.safetensors"))
    assert got + list(second.train()) == expected
    for one, other in zip(whole.average.parameters(), second.average.parameters(), strict=True):
        assert torch.equal(one, other)
