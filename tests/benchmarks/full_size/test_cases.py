"""The real configurations, without their memory."""

import pytest
import torch

from benchmarks.full_size.cases import CASES, FLUX, HUNYUAN_VIDEO, QWEN_IMAGE, paper_steps, tiny
from benchmarks.full_size.sampler import build_model

GOLDEN = {
    5: (0, 1, 2, 3, 7, 12, 17, 22, 27, 32, 37, 42, 47),
    6: (0, 1, 2, 3, 8, 14, 20, 26, 32, 38, 44),
    7: (0, 1, 2, 3, 9, 16, 23, 30, 37, 44),
    8: (0, 1, 2, 3, 10, 18, 26, 34, 42),
    10: (0, 1, 2, 3, 12, 22, 32, 42),
}


@pytest.mark.parametrize(
    ("case", "parameters"), [(FLUX, 11_901_408_320), (QWEN_IMAGE, 20_430_401_088), (HUNYUAN_VIDEO, 12_821_012_544)]
)
def test_the_models_have_their_published_size(case, parameters):
    model = build_model(case, torch.device("meta"), torch.bfloat16)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_no_float32_copy_is_left_behind_by_the_default_dtype():
    build_model(tiny(FLUX), torch.device("meta"), torch.bfloat16)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("interval", GOLDEN)
def test_schedules_are_the_papers(interval):
    assert paper_steps(interval, 50) == GOLDEN[interval]


def test_shapes_are_the_published_resolutions():
    assert FLUX.latent == (1, (1024 // 16) ** 2, 64)
    assert QWEN_IMAGE.latent == (1, (1328 // 16) ** 2, 64)
    assert HUNYUAN_VIDEO.latent == (1, 16, (65 - 1) // 4 + 1, 480 // 8, 640 // 8)
    assert [len(case.text_tokens) for case in CASES.values()] == [1, 2, 1]


def test_the_grids_shift_grows_with_the_picture():
    assert FLUX.mu == pytest.approx(1.15)
    assert QWEN_IMAGE.mu == pytest.approx(0.5 + 0.4 * (6889 - 256) / (8192 - 256))
    assert HUNYUAN_VIDEO.mu is None


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_tiny_case_differs_in_size_only(case):
    small = tiny(case)
    assert set(small.config) == set(case.config)
    assert (small.scheduler, small.tap, small.intervals) == (case.scheduler, case.tap, case.intervals)
    assert len(small.latent) == len(case.latent)
    assert len(small.text_tokens) == len(case.text_tokens)
