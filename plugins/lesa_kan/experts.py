"""LESA's experts (arXiv 2602.20497, section 3): one KAN and one set of taps for each stage, built on pykan."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, TypeAlias

import numpy as np
import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from lesa_framework import ConfigError, LesaWarning

_Count: TypeAlias = Annotated[int, Field(ge=1)]
#: pykan, and all that it imports: it declares no requirements.
PYKAN: Final = ("kan", "matplotlib", "pandas", "sklearn", "sympy", "tqdm", "yaml")


@dataclass(frozen=True)
class ExpertShape:
    """Sizes of the experts.

    Attributes:
        num_steps: T; a KAN's input has T + 1 numbers.
        stage_history: K_s, how many of the newest features each stage weighs.
        hidden: Widths of the KAN's hidden layers.
        grid: Spline intervals.
        order: Spline order.
        grid_range: Where the splines live.
        branches: Sets of experts; 1 means that all branches share theirs.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid", "allow_inf_nan": False}  # as read from an artifact

    num_steps: _Count
    stage_history: Annotated[tuple[_Count, ...], Field(min_length=1)] = (4, 8, 8)
    hidden: tuple[_Count, ...] = (256, 256)
    grid: _Count = 5
    order: _Count = 3
    grid_range: tuple[float, float] = (-3.0, 3.0)
    branches: _Count = 1

    @property
    def num_stages(self) -> int:
        """Stages."""
        return len(self.stage_history)

    @property
    def depth(self) -> int:
        """Features that a history must keep."""
        return max(self.stage_history)

    def as_json(self) -> dict[str, Any]:
        """JSON values, for an artifact's metadata."""
        return asdict(self)

    def tables(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors that sampling reads."""
        experts = (self.branches, self.num_stages)
        return {"gains": (*experts, self.num_steps), "taps": (*experts, self.depth), "bias": experts}

    def kans(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the KANs' tensors, which only another grid needs."""
        found: dict[str, tuple[int, ...]] = {}
        widths = (self.num_steps + 1, *self.hidden, 1)
        for number in range(self.branches * self.num_stages):
            for layer, (inputs, outputs) in enumerate(pairwise(widths)):
                for name, shape in {
                    "grid": (inputs, self.grid + 2 * self.order + 1),
                    "coef": (inputs, outputs, self.grid + self.order),
                    "scale_base": (inputs, outputs),
                    "scale_sp": (inputs, outputs),
                }.items():
                    found[f"kan.{number}.{layer}.{name}"] = shape
        return found


def differences(sigmas: Sequence[float]) -> Tensor:
    """A KAN's inputs, `d_i = (sigma_i - sigma_0, ..., sigma_i - sigma_T)`.

    Args:
        sigmas: The grid, T + 1 noise levels.

    Returns:
        float32, shape (T, T + 1): one row for each step.
    """
    grid = torch.tensor(sigmas, dtype=torch.float64, device="cpu")
    return (grid[:-1, None] - grid[None, :]).float()


def warn_without_pykan() -> None:
    """Say that `retabulate` could not work, before a run needs it. Runs on the training's own grid do not."""
    absent = [name for name in PYKAN if find_spec(name) is None]
    if absent:
        warnings.warn(
            f"predictor.retabulate: runs on another grid than the training's will fail. They need pykan (not "
            f'installed: {", ".join(absent)}): pip install "lesa-framework[kan]"',
            LesaWarning,
            stacklevel=2,
        )


def new_kan(shape: ExpertShape, seed: int) -> nn.Module:
    """An untrained pykan network with scalar output.

    Raises:
        ConfigError: pykan is not installed.
    """
    try:
        from kan import KAN
    except ImportError as error:
        raise ConfigError(
            f'LESA\'s KANs need pykan ({error}). Install with: pip install "lesa-framework[kan]"'
        ) from error
    # pykan seeds the global generators, those of GPUs too; whoever calls us did not ask for that. The GPUs are named,
    # because torch warns about several otherwise. It makes tensors on the default device, which a program may have set.
    gpus = range(torch.accelerator.device_count())
    with torch.device("cpu"), torch.random.fork_rng(gpus), _other_generators_kept(), _no_uninitialised_memory():
        kan: nn.Module = KAN(
            width=[shape.num_steps + 1, *shape.hidden, 1],
            grid=shape.grid,
            k=shape.order,
            grid_range=list(shape.grid_range),
            base_fun="silu",
            symbolic_enabled=False,
            auto_save=False,
            save_act=False,
            seed=seed,
            device="cpu",
        )
    for name, parameter in kan.named_parameters():
        # Spline coefficients and scales only: pykan's symbolic branch and affine nodes are not in the method.
        parameter.requires_grad_(name.startswith("act_fun.") and name.rpartition(".")[2] in _LEARNT)
    return kan


@contextmanager
def _other_generators_kept() -> Iterator[None]:
    """Puts the states of Python's and numpy's generators back."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002 - the one that pykan seeds
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)  # noqa: NPY002


@contextmanager
def _no_uninitialised_memory() -> Iterator[None]:
    """Makes `torch.linalg.lstsq`, with which pykan starts its splines, give the same numbers each time.

    Its driver `gelsy` reads pivots from memory that torch leaves as it is, so that the splines of one seed differed in
    their last bits, and after a training the biases, which hardly matter to the loss, in the second digit.
    """
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


_LEARNT = ("coef", "scale_base", "scale_sp")
_KEPT = (*_LEARNT, "grid")


class Experts(nn.Module):
    """All experts: KANs `a_s`, taps `w_s`, biases `b_s`.

    The taps start as the slope between the newest and the oldest feature, so that a gain of 1 is a
    straight line, and the KANs start near 0, so that an untrained LESA is close to reuse of the newest.

    Args:
        shape: Sizes.
        seed: Seed of the KANs' weights.
    """

    def __init__(self, shape: ExpertShape, seed: int) -> None:
        super().__init__()
        self.shape = shape
        count = shape.branches * shape.num_stages
        self.kans = nn.ModuleList(new_kan(shape, seed + number) for number in range(count))
        taps = torch.zeros(shape.branches, shape.num_stages, shape.depth, device="cpu")
        mask = torch.zeros_like(taps)
        for stage, length in enumerate(shape.stage_history):
            taps[:, stage, 0] += 1.0 / max(length - 1, 1)
            taps[:, stage, length - 1] -= 1.0 / max(length - 1, 1)
            mask[:, stage, :length] = 1.0
        self.taps = nn.Parameter(taps)
        self.bias = nn.Parameter(torch.zeros(shape.branches, shape.num_stages, device="cpu"))
        self.mask: Tensor
        self.register_buffer("mask", mask)

    def gains(self, sigmas: Sequence[float]) -> Tensor:
        """`a_s(d_i)` for every branch, stage and step: shape (branches, stages, T), with gradients."""
        rows = differences(sigmas).to(self.taps.device)
        values = torch.stack([kan(rows).squeeze(-1) for kan in self.kans])
        return values.view(self.shape.branches, self.shape.num_stages, -1)

    @torch.no_grad()
    def multiply_gains(self, factor: float) -> None:
        """Multiply every gain, in the weights of the KANs' last layer: even from 0 they can still be trained."""
        for kan in self.kans:
            last = kan.get_submodule(f"act_fun.{len(self.shape.hidden)}")
            for name in ("scale_base", "coef"):
                last.get_parameter(name).mul_(factor)

    def trainable(self) -> list[nn.Parameter]:
        """What an optimiser changes."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def compact_state(self) -> dict[str, Tensor]:
        """Weights under short names, without pykan's unused parts."""
        tensors = {"taps": self.taps.detach() * self.mask, "bias": self.bias.detach()}
        tensors |= {name: parameter.detach() for name, parameter in self._kept()}
        return {name: tensor.clone() for name, tensor in tensors.items()}

    @torch.no_grad()
    def load_compact(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `compact_state` returned.

        Raises:
            KeyError: A tensor is missing.
            RuntimeError: A tensor has another shape.
        """
        self.taps.copy_(tensors["taps"])
        self.bias.copy_(tensors["bias"])
        for name, parameter in self._kept():
            parameter.copy_(tensors[name])

    def _kept(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The KANs' parameters that are stored, under their short names."""
        for number, kan in enumerate(self.kans):
            yield from _kept(kan, number)


@torch.no_grad()
def gains_of(shape: ExpertShape, weights: Mapping[str, Tensor], sigmas: Sequence[float]) -> Tensor:
    """`a_s(d_i)` of stored KANs on a grid; to make a network takes seconds, so one takes the weights of all in turn.

    Args:
        shape: Sizes.
        weights: The tensors that `shape.kans()` names, and perhaps others.
        sigmas: The grid, T + 1 noise levels.

    Returns:
        float32, shape (branches, stages, T).

    Raises:
        ConfigError: pykan is not installed.
    """
    kan, rows, found = new_kan(shape, 0), differences(sigmas), list[Tensor]()
    for number in range(shape.branches * shape.num_stages):
        for name, parameter in _kept(kan, number):
            parameter.copy_(weights[name])
        found.append(kan(rows).squeeze(-1))
    return torch.stack(found).view(shape.branches, shape.num_stages, -1)


def _kept(kan: nn.Module, number: int) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of one KAN that are stored, under its short names."""
    for name, parameter in kan.named_parameters():
        if name.startswith("act_fun.") and name.rpartition(".")[2] in _KEPT:
            yield f"kan.{number}.{name.removeprefix('act_fun.')}", parameter
