"""Sessions without a configuration in real pipelines of diffusers."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import LesaWarning
from tests.pipelines import flux, images, videos
from tests.pipelines.case import pipeline_of, trace

# diffusers' schedulers call numpy on tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

CASES = [
    case
    for case in (*flux.CASES, *images.CASES, *videos.CASES)
    if case.name in {"flux_guided", "sd3", "pixart_euler", "pixart_dpm", "wan", "wan_2.2"}
]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("LESA_WEIGHTS", str(tmp_path))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_works_predicts_and_reports(case):
    pipe = pipeline_of(case)
    bare = case.generate(pipe)
    before = trace(pipe.transformer)
    with lesa.accelerate(pipe, speedup=4) as session:
        cached = case.generate(pipe)
        report = session.report
    assert cached.isfinite().all()
    assert not torch.equal(cached, bare)
    assert (report.nfe, report.num_steps) == (2, 8)
    assert not report.fallbacks
    assert "  chosen: taylorseer (no weights), 2 of 8 steps computed: no weights fit" in str(report)
    assert "  saved: 6 of 8 steps predicted" in str(report)
    assert trace(pipe.transformer) == before


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_in_few_steps_there_is_nothing_to_gain(case):
    pipe = pipeline_of(case)
    bare = case.generate(pipe)
    with lesa.accelerate(pipe, speedup=8) as session, pytest.warns(LesaWarning, match="nothing to gain in a run of 8"):
        assert torch.equal(case.generate(pipe), bare)
    assert session.report.nfe == session.report.num_steps == 8
