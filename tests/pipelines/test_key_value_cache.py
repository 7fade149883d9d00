"""A pipeline whose second step has fewer tokens than the first, which filled a key-value cache."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import Reason, Tap
from tests.pipelines.case import pipeline_of
from tests.pipelines.qwen_images import QWEN_IMAGES, run_qwen_image21

[CASE] = [case for case in QWEN_IMAGES if case.kind == "qwen_image21"]


@pytest.mark.parametrize("tap", list(Tap))
def test_qwen_image_2_1_is_cached_from_the_third_step_on(tap: Tap):
    pipe = pipeline_of(CASE)
    generate = partial(run_qwen_image21, pipe, use_kv_cache=True)
    bare = generate()
    settings = {"predictor": {"kind": "reuse"}, "backbone": {"tap": tap}}
    with lesa.accelerate(pipe, {"schedule": {"kind": "always"}, **settings}):
        assert torch.equal(generate(), bare)
    with lesa.accelerate(pipe, {"schedule": {"kind": "steps", "compute": [0, 5]}, **settings}) as session:
        first = generate()
        assert torch.equal(generate(), first), "the second run differs"
    assert {branch: session.report.plan(branch) for branch in ("cond", "uncond")} == {
        "cond": "FFPPPFPP",
        "uncond": "FFPPPFPP",
    }
    assert session.report.fallbacks == {Reason.SHAPE: 2}
    assert first.isfinite().all()
    assert not torch.equal(first, bare)
    assert torch.equal(generate(), bare), "detach left a trace"
