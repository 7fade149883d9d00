from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lesa_framework.measure.probing import step_distances, taking_outputs


class Answering(nn.Module):
    """Returns what it was given."""

    def forward(self, value):
        return (value,)


def ran(values, calls_per_step):
    pipe = SimpleNamespace(transformer=Answering(), scheduler=None)
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
