"""Sessions in real pipelines of diffusers, with tiny random weights."""

from __future__ import annotations

import pytest

from tests.pipelines import flux, images, other_units, videos
from tests.pipelines.case import check_pipeline, pipeline_of

# diffusers' own: FluxControlNetModel takes a class from where it used to live, schedulers call numpy on tensors.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    # Mochi in diffusers asks for float32 where the CPU has no autocast.
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),
]

CASES = (*flux.CASES, *images.CASES, *other_units.CASES, *videos.CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_session_in_the_pipeline(case):
    check_pipeline(case, pipeline_of(case))
