from __future__ import annotations

import pytest
import torch

from lesa_framework import Decision, Reason, Recorder, RunInfo, Tap
from lesa_framework.types import StepRecord


def record(index: int, branch: str) -> StepRecord:
    return StepRecord(index, branch, 0, Decision.COMPUTE, Reason.SCHEDULE)


def watched(recorder: Recorder) -> list[torch.Tensor]:
    """Two steps of two branches; returns what the model was given and the features."""
    recorder.lesa_run_start(RunInfo((), "tiny", Tap.PRE_HEAD))
    latents = [torch.full((1, 2), float(step), requires_grad=True) for step in range(2)]
    for step, latent in enumerate(latents):
        for number, branch in enumerate(("cond", "uncond")):
            feature = latent + number
            recorder.lesa_step_end(record(step, branch), latent, feature)
            feature.detach().fill_(-1.0)  # a history reuses its memory
    return latents


def test_features_are_copies_without_a_graph_by_branch_and_step():
    recorder = Recorder()
    watched(recorder)
    assert [(each.branch, each.index) for each in recorder.records] == list(recorder.by_step)
    assert {key: float(feature[0, 0]) for key, feature in recorder.by_step.items()} == {
        ("cond", 0): 0, ("uncond", 0): 1, ("cond", 1): 1, ("uncond", 1): 2,
    }  # fmt: skip
    assert not any(feature.requires_grad for feature in recorder.features)
    assert recorder.latents == []


def test_latents_are_kept_once_a_step_with_their_graph():
    recorder = Recorder(features=False, latents=True)
    latents = watched(recorder)
    for kept, latent in zip(recorder.latents, latents, strict=True):
        (gradient,) = torch.autograd.grad(kept.sum(), latent)
        assert torch.equal(gradient, torch.ones(1, 2))
    assert recorder.features == []
    assert len(recorder.records) == 4


def test_a_run_replaces_the_one_before():
    recorder = Recorder(latents=True)
    watched(recorder)
    watched(recorder)
    assert (len(recorder.records), len(recorder.features), len(recorder.latents)) == (4, 4, 2)


def test_without_features_there_is_no_feature_of_a_step():
    recorder = Recorder(features=False)
    watched(recorder)
    with pytest.raises(ValueError, match="zip"):
        _ = recorder.by_step


def test_before_a_run_nothing_is_recorded():
    recorder = Recorder(latents=True)
    assert (recorder.records, recorder.features, recorder.latents, recorder.by_step) == ([], [], [], {})


def test_latents_of_a_sampler_that_writes_to_its_own_are_those_of_their_steps():
    recorder, latent = Recorder(features=False, latents=True), torch.zeros(1, 2)
    recorder.lesa_run_start(RunInfo((), "tiny", Tap.PRE_HEAD))
    for step in range(3):
        recorder.lesa_step_end(record(step, "cond"), latent, latent)
        latent += 1
    assert [float(kept[0, 0]) for kept in recorder.latents] == [0, 1, 2]
