"""A diffusion transformer small enough for a test, laid out as the big ones are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lesa_framework.interfaces.backbone import BackboneAdapter


@dataclass
class TinyOutput:
    """What `TinyDiT` returns: `output.sample`, also as `output[0]`, like the outputs of diffusers."""

    sample: Tensor

    def __getitem__(self, index: int) -> Tensor:
        """The sample, for index 0."""
        return (self.sample,)[index]


class _Block(nn.Module):
    """Mixes tokens, then channels; the noise level and the prompt modulate it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads=1 + (width % 2 == 0), batch_first=True)
        self.modulation = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, hidden_states: Tensor, temb: Tensor) -> Tensor:
        """One residual block."""
        normed = self.norm(hidden_states) * (1 + self.modulation(temb)).unsqueeze(1)
        hidden_states = hidden_states + self.attention(normed, normed, normed, need_weights=False)[0]
        change: Tensor = self.mlp(hidden_states)
        return hidden_states + change


class _HeadNorm(nn.Module):
    """Norm with a scale that depends on the noise level: the head must run on predicted steps too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, hidden_states: Tensor, temb: Tensor) -> Tensor:
        """Normalise and scale."""
        normed: Tensor = self.norm(hidden_states) * (1 + self.linear(temb)).unsqueeze(1)
        return normed


class TinyDiT(nn.Module):
    """A transformer with two block lists, a final norm and a projection; in evaluation mode, as one that was loaded.

    Args:
        channels: Channels of the latent.
        width: Channels inside.
        layers: Blocks in each of the two lists.
        seed: Seed of the weights; torch's global random state stays as it is.
    """

    def __init__(self, channels: int = 4, width: int = 16, layers: int = 2, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Linear(channels, width)
            self.time_embed = nn.Linear(2, width)
            self.context_embed = nn.Linear(channels, width)
            self.transformer_blocks = nn.ModuleList(_Block(width) for _ in range(layers))
            self.single_transformer_blocks = nn.ModuleList(_Block(width) for _ in range(layers))
            self.norm_out = _HeadNorm(width)
            self.proj_out = nn.Linear(width, channels)
        self.eval()

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor | None = None,
        return_dict: bool = True,
    ) -> TinyOutput | tuple[Tensor]:
        """Velocity of a latent.

        Args:
            hidden_states: The latent, (batch, tokens, channels).
            timestep: Noise level in [0, 1], a number or (batch,).
            encoder_hidden_states: The prompt, (batch, words, channels).
            return_dict: Return an object with `sample`, or a tuple.
        """
        level = torch.as_tensor(timestep, dtype=hidden_states.dtype, device=hidden_states.device)
        level = level.expand(hidden_states.shape[0])
        temb = self.time_embed(torch.stack([level, torch.sin(6 * level)], dim=-1))
        if encoder_hidden_states is not None:
            temb = temb + self.context_embed(encoder_hidden_states).mean(dim=1)
        hidden = self.embed(hidden_states)
        for block in self.transformer_blocks:
            hidden = block(hidden, temb)
        for block in self.single_transformer_blocks:
            hidden = block(hidden, temb)
        sample = self.proj_out(self.norm_out(hidden, temb))
        return TinyOutput(sample) if return_dict else (sample,)


class TinyContextDiT(TinyDiT):
    """A `TinyDiT` whose pipeline names its branches with `cache_context`, as half of diffusers' do."""

    @contextmanager
    def cache_context(self, name: str) -> Iterator[None]:  # noqa: ARG002 - what matters is that it is called
        """Name the branch of the calls inside."""
        yield


class TinyDiTAdapter(BackboneAdapter):
    """The adapter for `TinyDiT`."""

    model_class = "TinyDiT"
    blocks = ("transformer_blocks", "single_transformer_blocks")
    head = "norm_out"
