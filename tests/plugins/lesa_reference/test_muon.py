from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lesa_reference.muon import BatchedMuon, orthogonalised

SHAPES = [(6, 6), (4, 8), (6, 6), (8, 4), (4, 8), (6, 6)]


def one_by_one(matrix: Tensor) -> Tensor:
    """Newton-Schulz as the Muon post writes it, for one matrix."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def test_a_stack_is_orthogonalised_as_each_of_its_matrices() -> None:
    torch.manual_seed(0)
    for shape in ((6, 6), (4, 8), (8, 4)):
        matrices = torch.randn(3, *shape, dtype=torch.float64)
        expected = torch.stack([one_by_one(matrix) for matrix in matrices])
        assert torch.allclose(orthogonalised(matrices, torch.float64), expected, atol=1e-12)


def test_a_matrix_without_a_direction_stays_zero() -> None:
    assert not orthogonalised(torch.zeros(2, 3, 4)).any()


def matrices() -> list[nn.Parameter]:
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(shape)) for shape in SHAPES]


def steps(optimiser: torch.optim.Optimizer, count: int, first: int = 0) -> None:
    """The gradient depends on the parameters, on the step, and is missing for one matrix."""
    for step in range(first, first + count):
        random = torch.Generator().manual_seed(step)
        for matrix in optimiser.param_groups[0]["params"][:-1]:
            matrix.grad = matrix.detach() + torch.randn(matrix.shape, generator=random)
        optimiser.step()


def test_steps_are_those_of_torchs_muon_up_to_rounding() -> None:
    plain, batched = matrices(), matrices()
    rate = 2e-3
    steps(torch.optim.Muon(plain, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"), 5)
    steps(BatchedMuon(batched, lr=rate, weight_decay=0.01), 5)
    for before, one, other in zip(matrices(), plain, batched, strict=True):
        # Five iterations in bfloat16, whose numbers are 2 ** -8 apart, give about 1 % of a direction.
        assert torch.dist(one, other) <= 0.02 * torch.dist(before, one)
        assert F.mse_loss(one, other).sqrt() < 0.02 * 5 * 0.2 * rate
    assert torch.equal(batched[-1], matrices()[-1])


def test_the_state_of_torchs_muon_can_be_continued() -> None:
    plain, batched = matrices(), matrices()
    old = torch.optim.Muon(plain, lr=1e-2, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    steps(old, 3)
    new = BatchedMuon(batched, lr=1e-2, weight_decay=0.01)
    for source, target in zip(plain, batched, strict=True):
        target.data.copy_(source.data)
    new.load_state_dict(copy.deepcopy(old.state_dict()))
    steps(old, 2, first=3)
    steps(new, 2, first=3)
    for one, other in zip(plain, batched, strict=True):
        assert F.mse_loss(one, other).sqrt() < 0.02 * 2 * 0.2 * 1e-2
