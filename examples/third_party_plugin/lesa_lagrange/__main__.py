"""Accelerates the example's own model: `python -m lesa_lagrange`."""

from __future__ import annotations

import torch

import lesa_framework as lesa
from lesa_lagrange.model import ClassDiT, sample


def main(num_steps: int = 50) -> None:
    """Sample uncached and cached, and say how far they are apart."""
    torch.manual_seed(0)
    model = ClassDiT().eval()
    sigmas = [1 - step / num_steps for step in range(num_steps + 1)]
    uncached = sample(model, sigmas, label=3)
    for predictor in ({"kind": "reuse"}, {"kind": "my_lagrange", "order": 1}):
        config = lesa.load_config({"schedule": {"kind": "fixed_interval", "interval": 5}, "predictor": predictor})
        with lesa.accelerate(model, config, sigmas=sigmas) as session:
            cached = sample(model, sigmas, label=3)
        error = (cached - uncached).norm() / uncached.norm()
        print(f"{predictor['kind']}: relative error {error:.5f}")
        print(session.report)


if __name__ == "__main__":
    main()
