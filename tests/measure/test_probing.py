from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lesa_framework.generation import GenerationSettings
from lesa_framework.measure.lineup import uncached
from lesa_framework.measure.probing import Counted, step_distances, taking_outputs
from lesa_framework.measure.results import Pair
from lesa_framework.measure.subject import PipelineSubject
from tests.pipelines import worded


class Answering(nn.Module):
    """Returns what it was given."""

    def forward(self, value):
        return (value,)


class Listing(nn.Module):
    """Returns a list with a tensor for each sample, as Z-Image does."""

    def forward(self, value):
        return (list(value),)


def ran(values, calls_per_step, answering=Answering):
    pipe = SimpleNamespace(transformer=answering(), scheduler=None)
    with taking_outputs(pipe) as outputs:
        for number, value in enumerate(values, start=1):
            pipe.transformer(value)
            if number % calls_per_step == 0:
                outputs.steps.append(len(outputs.calls))
    pipe.transformer(torch.full((1,), 9.0))
    return outputs


def test_distance_of_each_step_over_the_norm_of_the_uncached_one():
    kept = ran([torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0])], 1)
    other = ran([torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])], 1)
    assert step_distances(other, kept) == [0.0, pytest.approx(0.5)]
    assert len(kept.calls) == 2, "nothing is heard after the watch is over"


def test_the_branches_of_a_step_are_taken_together():
    kept = ran([torch.tensor([3.0]), torch.tensor([4.0])], 2)
    other = ran([torch.tensor([3.0]), torch.tensor([1.0])], 2)
    assert step_distances(other, kept) == [pytest.approx(3 / 5)]


def test_runs_that_made_other_calls_have_no_curve():
    kept = ran([torch.ones(1)] * 4, 1)
    assert step_distances(ran([torch.ones(1)] * 2, 1), kept) == []
    assert step_distances(ran([torch.ones(1)] * 4, 2), kept) == []


def test_steps_that_are_not_finite_have_no_number():
    kept = ran([torch.zeros(1), torch.ones(1), torch.ones(2)], 1)
    other = ran([torch.ones(1), torch.full((1,), torch.nan), torch.ones(3)], 1)
    assert step_distances(other, kept) == [None, None, None]


def test_what_is_kept_is_not_written_over():
    value = torch.ones(2)
    kept = ran([value], 1)
    value.zero_()
    assert torch.equal(kept.calls[0], torch.ones(2))


def test_a_list_of_samples_counts_as_all_of_them():
    kept = ran([torch.tensor([[3.0], [4.0]])], 1, Listing)
    other = ran([torch.tensor([[3.0], [1.0]])], 1, Listing)
    assert step_distances(other, kept) == [pytest.approx(3 / 5)]


def test_z_image_is_probed_with_what_it_returns_for_every_sample():
    settings = GenerationSettings(num_steps=3, call={"height": 32, "width": 32, "guidance_scale": 0.0})
    group = [Pair(prompt="a red ring", seed=0), Pair(prompt="a blue star", seed=1)]
    cell, outputs = Counted().uncached(PipelineSubject(worded.z_image(), settings), uncached(3), group)
    assert cell.flops
    assert outputs.steps == [1, 2, 3]
    assert [len(call) for call in outputs.calls] == [2 * 4 * 16 * 16] * 3, "two samples of four channels"
