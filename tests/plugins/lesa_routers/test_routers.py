from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lesa_framework.testing import check_router
from lesa_routers.routers import SingleConfig, Thresholds, ThresholdsConfig

falling = st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True).map(
    lambda percents: tuple(percent / 100 for percent in sorted(percents, reverse=True))
)


@pytest.mark.parametrize(
    ("sigma", "stage"),
    [(1.0, 0), (0.95, 0), (0.9001, 0), (0.9, 1), (0.7, 1), (0.5001, 1), (0.5, 2), (0.3, 2), (0.0, 2)],
)
def test_the_papers_stages(sigma, stage):
    assert Thresholds((0.9, 0.5)).stage(sigma) == stage


@given(boundaries=falling, sigma=st.floats(0, 1))
def test_counts_the_boundaries_above(boundaries, sigma):
    if min(abs(sigma - boundary) for boundary in boundaries) > 2e-6:
        assert Thresholds(boundaries).stage(sigma) == sum(sigma <= boundary for boundary in boundaries)


@given(boundaries=falling)
def test_a_level_at_a_boundary_belongs_below_it_in_float32_too(boundaries):
    # float32's 0.4 is a little above 0.4.
    router = Thresholds(boundaries)
    for number, boundary in enumerate(boundaries):
        assert router.stage(boundary) == router.stage(float(torch.tensor(boundary))) == number + 1


@given(boundaries=falling, a=st.floats(0, 1), b=st.floats(0, 1))
def test_stages_rise_as_noise_falls(boundaries, a, b):
    router = Thresholds(boundaries)
    assert router.stage(max(a, b)) <= router.stage(min(a, b))


def test_single_has_one():
    router = SingleConfig().build()
    assert router.num_stages == 1
    assert {router.stage(sigma / 10) for sigma in range(11)} == {0}


@pytest.mark.parametrize(
    "config", [SingleConfig(), ThresholdsConfig(), ThresholdsConfig(boundaries=(0.9, 0.4))], ids=str
)
def test_keep_their_contract(config):
    check_router(config)


@pytest.mark.parametrize("boundaries", [(), (0.5, 0.9), (0.5, 0.5), (1.0,), (0.0,), (1.5,)])
def test_boundaries_that_make_no_sense(boundaries):
    with pytest.raises(ValueError, match="boundaries"):
        ThresholdsConfig(boundaries=boundaries)
