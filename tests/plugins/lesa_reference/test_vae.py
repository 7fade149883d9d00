"""The VAE's training, on pictures of a few pixels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint
from lesa_reference.codec import ClipCodec, Codec, PictureCodec, QwenPictureCodec
from lesa_reference.vae import VaeTrainer


def trainer(codec: Codec) -> VaeTrainer:
    torch.manual_seed(0)
    shape = (4, 3, 5, 16, 16) if isinstance(codec, ClipCodec) else (4, 3, 16, 16)
    drawn = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return VaeTrainer(codec.new(), codec, drawn, steps=5, seed=0, batch=2)


@pytest.mark.parametrize(
    "codec", [PictureCodec(), QwenPictureCodec(), ClipCodec()], ids=lambda codec: type(codec).__name__
)
def test_a_resumed_training_equals_one_that_never_stopped(tmp_path: Path, codec: Codec) -> None:
    whole, first, second = trainer(codec), trainer(codec), trainer(codec)
    expected = list(whole.train())
    running = first.train()
    got = [next(running) for _ in range(2)]
    save_checkpoint(tmp_path / "c.safetensors", first.state())
    second.load(load_checkpoint(tmp_path / "c.safetensors"))
    got += list(second.train())
    assert got == expected
    for one, other in zip(whole.vae.parameters(), second.vae.parameters(), strict=True):
        assert torch.equal(one, other)
