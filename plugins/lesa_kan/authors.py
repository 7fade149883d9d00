"""Checkpoints of the LESA authors' training (their release is under MIT), as ours.

Their KAN layer computes `base_weight @ silu(x) + sum_j spline_scaler * spline_weight . B_j(x)`, which is
pykan's layer with transposed weights and the same grid; outputs differ by float32 rounding only. Their linear layers
read the history from the oldest feature to the newest; our taps begin with the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, pairwise, takewhile
from typing import Any, Final

import torch
from torch import Tensor

from lesa_framework import ConfigError, Published, Tap
from lesa_framework.artifacts import Artifact, ArtifactMetadata, shifted_grid
from lesa_kan.checkpoint import read_model
from lesa_kan.experts import ExpertShape, gains_of

#: What a configuration of LESA allows.
_LONGEST, _DEEPEST, _WIDEST, _STEPS = 64, 16, 4096, 1000


@dataclass(frozen=True)
class _Release:
    """How the authors use LESA on one model.

    Attributes:
        model: The model.
        tap: Where its feature is taken.
        branches: Sets of experts.
        interval: N of the schedule with which they report their headline.
        boundaries: Noise levels between the stages.
        shift: Shift of the model's linear grid, at the authors' resolution.
        last: Noise level to which the model's sampler stretches the last step; None where it does not.
    """

    model: str
    tap: Tap
    branches: int
    interval: int
    boundaries: tuple[float, ...]
    shift: float
    last: float | None = None

    def sigmas(self, steps: int, shift: float | None) -> tuple[float, ...]:
        """The grid; with a shift of the user's it is not stretched."""
        *grid, _ = shifted_grid(steps, self.shift if shift is None else shift)
        if shift is None and self.last is not None and steps > 1:
            stretch = (1 - self.last) / (1 - grid[-1])
            grid = [1 - (1 - level) * stretch for level in grid]
        return (*grid, 0.0)


#: FLUX at 1024x1024, Qwen-Image at 1328x1328.
_RELEASES: Final = {
    "flux": _Release("black-forest-labs/FLUX.1-dev", Tap.PRE_HEAD, 1, 7, (0.9, 0.5), 3.158),
    "qwen_image": _Release("Qwen/Qwen-Image", Tap.POST_NORM, 2, 10, (0.9, 0.4), 2.3033, 0.02),
    "hunyuan_video": _Release("hunyuanvideo-community/HunyuanVideo", Tap.OUTPUT, 1, 7, (0.9, 0.5), 7.0),
}

_SETS: Final = {1: "one set of experts", 2: "a set of experts for each of two branches"}


def import_published(published: Published) -> tuple[Artifact, str]:
    """A checkpoint of the authors' training as an artifact, whose metadata has the configuration.

    Args:
        published: The content of the file; the backbone tells which of the authors' three models it is for.

    Returns:
        The artifact, and what the user has to know about how it was understood.

    Raises:
        ConfigError: It is not such a file, not of the layout or sizes of theirs, or for another model.
    """
    tensors = read_model(published)
    branches = 2 if any(key.startswith("latent_cond.") for key in tensors) else 1
    backbone = published.backbone or ("qwen_image" if branches == 2 else "flux")
    release = _release(published.name, backbone, branches)
    shape, weights = experts_of(tensors, published.name, branches)
    sigmas, tap = release.sigmas(shape.num_steps, published.shift), published.tap or release.tap
    config: dict[str, Any] = {
        "schedule": {"kind": "fixed_interval", "interval": release.interval, "warmup": 3},
        "router": {"kind": "thresholds", "boundaries": list(release.boundaries)},
        "predictor": {
            "kind": "lesa",
            "stage_history": list(shape.stage_history),
            "hidden": list(shape.hidden),
            "branches": branches,
            "retabulate": True,  # the authors evaluate the KANs on whatever grid a run has
        },
        "backbone": {"kind": backbone, "tap": tap.value},
        "training": {"model": published.model or release.model, "num_steps": shape.num_steps},
    }
    metadata = ArtifactMetadata(
        kind="lesa",
        settings=shape.as_json(),
        sigmas=sigmas,
        backbone=backbone,
        tap=tap,
        config=config,
        training=published.record,
    )
    gains = gains_of(shape, weights, sigmas).double()
    others = [name for name, each in _RELEASES.items() if each.branches == branches and name != backbone]
    note = ""
    if others and not published.backbone:
        note = (
            f"taken as weights for the backbone {backbone}, with the tap {tap.value}; the file does not say. If they "
            f"were made for another, name it: --backbone {' or '.join(others)}."
        )
    return Artifact(metadata, {**weights, "gains": gains}), note


def experts_of(tensors: Mapping[str, Tensor], name: str, branches: int) -> tuple[ExpertShape, dict[str, Tensor]]:
    """The experts' sizes, and their weights under our names.

    Args:
        tensors: Under the authors' names, in float32.
        name: What to call the file in messages.
        branches: 1 for `latent` and `timestep`, 2 for these with `_cond` and `_uncond`.

    Returns:
        The sizes, and `taps`, `bias` and `kan.*` as an [`Experts`][lesa_kan.experts.Experts] keeps them.

    Raises:
        ConfigError: A tensor is missing, has another size than the first one of its kind, or is not theirs.
    """
    left = _Tensors(tensors, name)
    shape = _shape_of(left, branches)
    taps = torch.zeros(branches, 3, shape.depth, device="cpu")
    bias = torch.zeros(branches, 3, device="cpu")
    found = {"taps": taps, "bias": bias}
    for number in range(branches * 3):
        branch, stage = divmod(number, 3)
        length = shape.stage_history[stage]
        linear, kan = (f"{kind}{_suffixes(branches)[branch]}.{stage}" for kind in ("latent", "timestep"))
        taps[branch, stage, :length] = left.take(f"{linear}.weight", (1, length))[0].flip(0)
        bias[branch, stage] = left.take(f"{linear}.bias", (1,))[0]
        for layer, (inputs, outputs) in enumerate(pairwise((shape.num_steps + 1, *shape.hidden, 1))):
            sizes = {
                "grid": (inputs, shape.grid + 2 * shape.order + 1),
                "base_weight": (outputs, inputs),
                "spline_weight": (outputs, inputs, shape.grid + shape.order),
                "spline_scaler": (outputs, inputs),
            }
            parts = {part: left.take(f"{kan}.layers.{layer}.{part}", size) for part, size in sizes.items()}
            found |= {f"kan.{number}.{layer}.{part}": each for part, each in convert_layer(parts).items()}
    left.check_empty()
    return shape, found


def convert_layer(layer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One layer of the authors' KAN as pykan's parameters.

    Args:
        layer: `grid` (in, grid + 2 order + 1), `base_weight` (out, in), `spline_weight`
            (out, in, grid + order) and `spline_scaler` (out, in).

    Returns:
        `grid`, `coef` (in, out, grid + order), `scale_base` (in, out) and `scale_sp` (in, out), the names
        under which an [`Experts`][lesa_kan.experts.Experts] keeps them.
    """
    return {
        "grid": layer["grid"].contiguous(),
        "coef": layer["spline_weight"].permute(1, 0, 2).contiguous(),
        "scale_base": layer["base_weight"].T.contiguous(),
        "scale_sp": layer["spline_scaler"].T.contiguous(),
    }


class _Tensors:
    """A file's tensors, each taken once."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str) -> None:
        self._left, self.name = dict(tensors), name

    def size(self, key: str, dimensions: int) -> tuple[int, ...]:
        """The size of one, which is not taken."""
        tensor = self._left.get(key)
        if tensor is None:
            raise ConfigError(f"{self.name}: '{key}' is missing, which LESA's authors' checkpoints have.")
        if tensor.dim() != dimensions or 0 in tensor.shape:
            raise ConfigError(f"{self.name}: '{key}' is {tuple(tensor.shape)}; expected {dimensions} dimensions.")
        return tuple(tensor.shape)

    def take(self, key: str, size: tuple[int, ...]) -> Tensor:
        """One of this size."""
        found = self.size(key, len(size))
        if found != size:
            raise ConfigError(f"{self.name}: '{key}' is {found}, but the other tensors need {size}.")
        return self._left.pop(key)

    def ends(self, key: str, order: int) -> tuple[float, float]:
        """Where the splines of a grid begin and end, to the precision of bfloat16."""
        knots = self._left[key][0]
        return round(float(knots[order]), 2), round(float(knots[-1 - order]), 2)

    def count(self, pattern: str) -> int:
        """How many there are with a running number."""
        return len(list(takewhile(lambda number: pattern.format(number) in self._left, count())))

    def check_empty(self) -> None:
        """Refuse what nobody took."""
        if self._left:
            raise ConfigError(
                f"{self.name}: has {min(self._left)[:80]!r} too, which LESA's authors' checkpoints do not have."
            )


def _release(name: str, backbone: str, branches: int) -> _Release:
    release = _RELEASES.get(backbone)
    if release is None:
        raise ConfigError(
            f"--backbone {backbone}: LESA's authors have weights for {', '.join(_RELEASES)}. Leave it out, or name one."
        )
    if release.branches != branches:
        raise ConfigError(
            f"{name}: has {_SETS[branches]}, but the authors' weights for {backbone} have {_SETS[release.branches]}. "
            "Name another --backbone."
        )
    return release


def _suffixes(branches: int) -> tuple[str, ...]:
    return ("",) if branches == 1 else ("_cond", "_uncond")


def _shape_of(left: _Tensors, branches: int) -> ExpertShape:
    """The sizes that the first branch and the first KAN have; the others have to agree."""
    suffix = _suffixes(branches)[0]
    lengths = tuple(left.size(f"latent{suffix}.{stage}.weight", 2)[1] for stage in range(3))
    first = f"timestep{suffix}.0.layers"
    inputs = left.size(f"{first}.0.base_weight", 2)[1]
    layers = range(left.count(f"{first}.{{}}.base_weight"))
    hidden = tuple(left.size(f"{first}.{layer}.base_weight", 2)[0] for layer in layers)[:-1]
    if max(lengths) > _LONGEST or max(hidden, default=0) > _WIDEST or len(hidden) > _DEEPEST or inputs > _STEPS + 1:
        raise ConfigError(
            f"{left.name}: weighs {max(lengths)} features with hidden layers of {list(hidden)} for {inputs - 1} steps; "
            f"at most {_LONGEST} features, {_DEEPEST} layers of {_WIDEST} and {_STEPS} steps are read."
        )
    coefficients, knots = left.size(f"{first}.0.spline_weight", 3)[2], left.size(f"{first}.0.grid", 2)[1]
    order = knots - coefficients - 1
    if not 1 <= order < coefficients:
        raise ConfigError(
            f"{left.name}: '{first}.0' has {knots} knots for {coefficients} coefficients; a spline of order k has "
            "k + 1 more knots than coefficients."
        )
    ends = left.ends(f"{first}.0.grid", order)
    return ExpertShape(inputs - 1, lengths, hidden, coefficients - order, order, ends, branches)
