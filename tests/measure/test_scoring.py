from __future__ import annotations

import math

import pytest
import torch

from lesa_framework import LesaError
from lesa_framework.generation import Samples
from lesa_framework.measure.rows import Pair
from lesa_framework.measure.scoring import Judges, judged

GROUP = [Pair(prompt="a dot", seed=1), Pair(prompt="a ring", seed=2)]


def samples(value: float, latents: float = 1.0) -> Samples:
    return Samples(torch.full((2, 3, 8, 8), value), torch.full((2, 4), latents), 0.5)


def test_a_batch_is_measured_pair_by_pair():
    turn = judged(samples(0.6, 1.5), samples(0.5), GROUP, Judges(), "now", keep=1)
    assert turn.psnr_db == [pytest.approx(20.0, abs=1e-4)] * 2
    assert turn.rel_l2 == [0.5, 0.5]
    assert (turn.sitting, turn.seconds, len(turn.images)) == ("now", 0.5, 1)
    assert turn.caption_score == []


def test_captions_and_further_metrics_are_asked_too():
    class Counting:
        def judge(self, images, references, prompts):
            return [float(len(prompt)) for prompt in prompts]

    judges = Judges(caption=lambda images, prompts: [math.nan, 0.5], metrics={"letters": Counting()})
    turn = judged(samples(0.5), samples(0.5), GROUP, judges, "now", keep=0)
    assert turn.caption_score == [None, 0.5]
    assert turn.scores == {"letters": [5.0, 6.0]}
    assert turn.psnr_db == [None, None], "identical: JSON has no infinity"


@pytest.mark.parametrize(("broken", "what"), [(samples(math.nan), "images"), (samples(0.5, math.inf), "latents")])
def test_what_is_not_finite_is_no_result(broken, what):
    with pytest.raises(LesaError, match=f"the {what} became NaN or infinite"):
        judged(broken, samples(0.5), GROUP, Judges(), "now", keep=0)
