"""A diffusers pipeline whose transformer is skipped on some steps: two hooks, and a `forward` in place of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from benchmarks.recompute.formulas import Array, Formula

STEPS = 50
#: With true guidance each step calls the transformer with the prompt, and then without it.
BRANCHES = 2
#: What is skipped on a predicted step.
STACKS = ("transformer_blocks", "single_transformer_blocks")


@dataclass
class Skipping:
    """Stands in for a transformer's `forward`.

    Args:
        transformer: The model.
        tap: Where features are: `pre_head` is the input of `norm_out`, `post_norm` its output, `output` the model's.
        computed: The steps that run the blocks.
        formulas: One for each branch.
        tuning: How computed steps are asked, shape (T, branches, 2 or 3): what is added to the noise level, and to a
            factor of 1 for the latent; and how far ahead, in parts of the way since the computed step before. None
            changes nothing.
    """

    transformer: nn.Module
    tap: str
    computed: frozenset[int]
    formulas: Sequence[Formula]
    tuning: Array | None = None
    calls: int = 0
    before: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # timestep and latent, by branch
    feature: Tensor | None = None  # what passed the tap
    guess: Tensor | None = None  # what is to pass instead
    original: Callable[..., Any] = field(init=False)

    def __post_init__(self) -> None:
        self.original = self.transformer.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """One call of the transformer, which returns a tuple of its output."""
        step, branch = divmod(self.calls, BRANCHES)
        self.calls += 1
        formula = self.formulas[branch]
        if step in self.computed:
            self.guess = None
            output = self.original(*args, **self.asked(kwargs, step, branch))
            feature = output[0] if self.tap == "output" else self.feature
            formula.see(step, feature.double().numpy())
            return output
        self.guess = torch.from_numpy(formula.guess(step)).float()
        if self.tap == "output":
            return (self.guess,)
        with without_blocks(self.transformer):
            return self.original(*args, **kwargs)

    def asked(self, kwargs: dict[str, Any], step: int, branch: int) -> dict[str, Any]:
        """The arguments of a computed step."""
        if self.tuning is None:
            return kwargs
        shift, gain, *more = (float(number) for number in self.tuning[step, branch])
        ahead, level, latent = more[0] if more else 0.0, kwargs["timestep"], kwargs["hidden_states"]
        # Pipelines of pictures tell the noise level from 0 to 1, that of HunyuanVideo from 0 to 1000.
        unit = 1000.0 if type(self.transformer).__name__.startswith("HunyuanVideo") else 1.0
        level_before, latent_before = self.before.get(branch, (level, latent))
        self.before[branch] = level, latent.clone()
        return kwargs | {
            "timestep": level + shift * unit + ahead * (level - level_before),
            "hidden_states": latent * (1 + gain) + ahead * (latent - latent_before),
        }

    def enters_head(self, head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:  # noqa: ARG002
        """Before `norm_out`: what it returns is what enters."""
        if self.tap != "pre_head":
            return None
        self.feature = args[0]
        return None if self.guess is None else (self.guess, *args[1:])

    def leaves_head(self, head: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor | None:  # noqa: ARG002
        """After `norm_out`: what it returns is what leaves."""
        if self.tap != "post_norm":
            return None
        self.feature = out
        return self.guess


@contextmanager
def without_blocks(transformer: nn.Module) -> Iterator[None]:
    """The block lists are empty within it."""
    stacks = {name: module for name, module in transformer.named_children() if name in STACKS}
    try:
        for name in stacks:
            setattr(transformer, name, nn.ModuleList())
        yield
    finally:
        for name, module in stacks.items():
            setattr(transformer, name, module)


@contextmanager
def skipping(
    transformer: nn.Module,
    tap: str,
    computed: Sequence[int],
    formulas: Sequence[Formula],
    tuning: Array | None = None,
) -> Iterator[None]:
    """Within it, the transformer runs its blocks on the computed steps of one sampling alone."""
    skipper = Skipping(transformer, tap, frozenset(computed), formulas, tuning)
    head = transformer.get_submodule("norm_out")
    hooks = head.register_forward_pre_hook(skipper.enters_head), head.register_forward_hook(skipper.leaves_head)
    transformer.forward = skipper
    try:
        yield
    finally:
        del transformer.forward
        for hook in hooks:
            hook.remove()


def load(folder: str) -> Any:
    """A bundled pipeline; its classes are diffusers' and transformers' own."""
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample(
    pipe: Any, call: dict[str, Any], prompts: Sequence[str], seeds: Sequence[int], steps: int = STEPS
) -> tuple[Tensor, Tensor]:
    """Pictures in [0, 1] or clips, and the final latents; each sample has a generator of its own."""
    last: dict[str, Tensor] = {}

    def keep(pipe: Any, step: int, timestep: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:  # noqa: ARG001
        last.update(state)
        return state

    with torch.no_grad():
        found = pipe(
            prompt=list(prompts),
            negative_prompt=[""] * len(prompts),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            num_inference_steps=steps,
            output_type="pt",
            return_dict=False,
            callback_on_step_end=keep,
            **call,
        )[0]
    return found, last["latents"]


def psnr(found: Tensor, wanted: Tensor) -> list[float]:
    """Of each picture, or of each clip over all its frames, in dB; float, with 1 as the largest value."""
    error = (found.double() - wanted.double()).square().flatten(1).mean(1)
    return (-10 * error.log10()).tolist()
