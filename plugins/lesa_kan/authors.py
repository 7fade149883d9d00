"""Weights in the layout of the LESA authors' release, as pykan's.

Their KAN layer computes `base_weight @ silu(x) + sum_j spline_scaler * spline_weight . B_j(x)`, which is
pykan's layer with transposed weights and the same grid; outputs differ by float32 rounding only.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lesa_framework import ArtifactError

_PARTS = ("grid", "base_weight", "spline_weight", "spline_scaler")


def convert_layer(layer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One layer of the authors' KAN as pykan's parameters.

    Args:
        layer: `grid` (in, grid + 2 order + 1), `base_weight` (out, in), `spline_weight`
            (out, in, grid + order) and `spline_scaler` (out, in).

    Returns:
        `grid`, `coef` (in, out, grid + order), `scale_base` (in, out) and `scale_sp` (in, out), the names
        under which an [`Experts`][lesa_kan.experts.Experts] keeps them.

    Raises:
        ArtifactError: A part is missing.
    """
    missing = [part for part in _PARTS if part not in layer]
    if missing:
        raise ArtifactError(f"KAN layer: {', '.join(missing)} missing; found {', '.join(layer) or 'nothing'}.")
    return {
        "grid": layer["grid"].contiguous(),
        "coef": layer["spline_weight"].permute(1, 0, 2).contiguous(),
        "scale_base": layer["base_weight"].T.contiguous(),
        "scale_sp": layer["spline_scaler"].T.contiguous(),
    }
