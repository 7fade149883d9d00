"""The kernel, in triton's interpreter: on the CPU, where triton is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from lesa_framework.runtime.features.weighing import Terms, weigh_plainly
from lesa_framework.testing.tiny_pipeline import noise

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
#: Not a multiple of the kernel's blocks.
SHAPE = (2, 37, 48)


def terms(count: int, dtype: torch.dtype, numbers: str = "floats", bad: float | None = None) -> Terms:
    features = [noise(SHAPE, seed).to(dtype) for seed in range(count)]
    if bad is not None:
        features[0][1, 3, 5:8] = bad
    if numbers == "floats":
        return Terms(tuple(features), tuple(0.7 - 0.2 * k for k in range(count)), 0.1, features[0].shape, dtype, CPU)
    if numbers == "scalars":
        return Terms(tuple(features), tuple(noise((count,), 9)), noise((), 8), features[0].shape, dtype, CPU)
    rows = noise((count, SHAPE[-1] if numbers == "channels" else 1), 9)
    return Terms(tuple(features), tuple(rows), noise(SHAPE[-1:], 8), features[0].shape, dtype, CPU)


CPU = torch.device("cpu")


def check_all() -> None:
    """Run in a process of its own: triton looks for `TRITON_INTERPRET` when it is imported."""
    from lesa_framework.runtime.features.triton_filter import fits, weigh_in_triton

    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        # The interpreter cuts bfloat16 off where a GPU rounds.
        tolerance = torch.finfo(dtype).eps * (1 if dtype == torch.bfloat16 else 0.6) + 1e-6
        for count in (1, 3, 8):
            for numbers in ("floats", "channels", "one", "scalars"):
                given = terms(count, dtype, numbers)
                assert fits(given)
                made, failed = weigh_in_triton(given)
                assert (made.dtype, made.shape, failed) == (dtype, given.shape, None)
                torch.testing.assert_close(made, weigh_plainly(given)[0], atol=4 * tolerance, rtol=tolerance)
    for bad in (float("nan"), float("inf")):
        given = terms(3, torch.bfloat16, bad=bad)
        newest = torch.full(given.shape, 7.0, dtype=torch.bfloat16)
        made, failed = weigh_in_triton(given, lambda newest=newest: newest)
        assert failed.tolist() == [3, 0]
        assert (made[1, 3, 5:8] == 7).all()
        assert int((made == 7).sum()) == 3
    # What has the weight 0 is not read: not a number times 0 would be none.
    given = terms(3, torch.float32, bad=float("nan"))
    skipped = Terms(given.features, (0.0, 1.0, 2.0), 0.0, given.shape, given.dtype, given.device)
    assert weigh_in_triton(skipped)[0].isfinite().all()
    assert not fits(Terms(given.features, given.weights, noise((37, 1), 0), given.shape, given.dtype, given.device))
    doubled = terms(2, torch.float64)
    assert not fits(doubled)
    # Rounding may make infinity of what was finite.
    large = torch.full(SHAPE, 60000.0, dtype=torch.float16)
    made, failed = weigh_in_triton(
        Terms((large, large), (1.0, 1.0), 0.0, large.shape, torch.float16, CPU), lambda: large
    )
    assert failed.tolist() == [large.numel(), 0]
    assert torch.equal(made, large)
    # What takes their place may be no better: here one of three.
    given, newest = terms(3, torch.float16, bad=float("nan")), torch.full(SHAPE, 7.0, dtype=torch.float16)
    newest[1, 3, 6] = newest[0, 0, 0] = float("inf")
    made, failed = weigh_in_triton(given, lambda: newest)
    assert failed.tolist() == [3, 1]
    assert made[1, 3, 5:8].tolist() == [7, float("inf"), 7]
    assert int(made.isfinite().sum()) == made.numel() - 1


@pytest.mark.slow
@needs_triton
def test_the_kernel_adds_up_and_replaces():
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "plugins"), *sys.path])
    code = "from tests.runtime.features.test_triton_filter import check_all; check_all()"
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.skipif(find_spec("triton") is None or not torch.cuda.is_available(), reason="needs triton and a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_kernel_on_a_gpu(count, dtype):
    from lesa_framework.runtime.features.triton_filter import weigh_in_triton

    given = terms(count, dtype)
    features = tuple(each.cuda() for each in given.features)
    there = Terms(features, given.weights, given.bias, given.shape, dtype, torch.device("cuda"))
    made, failed = weigh_in_triton(there, lambda: there.features[0])
    assert failed.tolist() == [0, 0]
    torch.testing.assert_close(made.cpu(), weigh_plainly(given)[0])
