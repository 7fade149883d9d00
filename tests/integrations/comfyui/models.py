"""Tiny models with the names of ComfyUI's classes: what a cache needs of them, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CHANNELS, WIDTH = 16, 8


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix, self.scale = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor, vec: Tensor) -> Tensor:
        return hidden + torch.tanh(self.mix(hidden) * (1 + self.scale(vec)).unsqueeze(1))


class Final(nn.Module):
    """The last layer: a norm whose scale depends on the noise level, and a projection."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.scale, self.linear = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, out)

    def forward(self, hidden: Tensor, vec: Tensor) -> Tensor:
        normed = nn.functional.layer_norm(hidden, (WIDTH,)) * (1 + self.scale(vec)).unsqueeze(1)
        projected: Tensor = self.linear(normed)
        return projected


class Tiny(nn.Module):
    """A stack between an embedding and a head, each under the name that a subclass gives it."""

    lists: tuple[str, ...]
    head_name: str
    multiplier: float  # of the noise level, in the timesteps that ComfyUI calls it with
    dtype = torch.float32

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.inside, self.time, self.text = (nn.Linear(size, WIDTH) for size in (CHANNELS, 2, 12))
            for name in self.lists:
                self.add_module(name, nn.ModuleList(Block() for _ in range(2)))
            self.add_module(self.head_name, Final(CHANNELS))
        self.eval().requires_grad_(requires_grad=False)

    def run(self, x: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        level = timestep / self.multiplier
        vec = self.time(torch.stack([level, torch.sin(6 * level)], dim=-1)) + self.text(context).mean(dim=1)
        hidden = self.inside(x.flatten(2).transpose(1, 2))
        for name in self.lists:
            for block in self.get_submodule(name):
                hidden = block(hidden, vec)
        return self.last(hidden, vec).transpose(1, 2).reshape(x.shape)

    def last(self, hidden: Tensor, vec: Tensor) -> Tensor:
        projected: Tensor = self.get_submodule(self.head_name)(hidden, vec)
        return projected

    def forward(self, x, timestep, context, y=None, guidance=None, control=None, transformer_options={}, **kwargs):  # noqa: B006
        return self.run(x, timestep, context)


class TimestepsTiny(Tiny):
    """Lumina takes `timesteps`."""

    def forward(self, x, timesteps, context, num_tokens, attention_mask=None, **kwargs):
        return -self.run(x, timesteps, context)


def _class(
    name: str, lists: Sequence[str], head: str, base: type[Tiny] = Tiny, *, multiplier: float = 1.0
) -> type[Tiny]:
    named = {"lists": tuple(lists), "head_name": head, "multiplier": multiplier, "__module__": "comfy.ldm.tiny"}
    return type(name, (base,), named)


#: Kind -> (class, shape of a latent without its batch).
MODELS = {
    "flux": (_class("Flux", ["double_blocks", "single_blocks"], "final_layer"), (CHANNELS, 4, 4)),
    "qwen_image": (_class("QwenImageTransformer2DModel", ["transformer_blocks"], "norm_out"), (CHANNELS, 1, 4, 4)),
    "hunyuan_video": (
        _class("HunyuanVideo", ["double_blocks", "single_blocks"], "final_layer", multiplier=1000.0),
        (CHANNELS, 2, 4, 4),
    ),
    "wan": (_class("WanModel", ["blocks"], "head", multiplier=1000.0), (CHANNELS, 2, 4, 4)),
    "lumina": (_class("NextDiT", ["layers"], "final_layer", TimestepsTiny), (CHANNELS, 4, 4)),
}
