from __future__ import annotations

import math

import pytest
import torch

from lesa_framework import LesaError, LoadedMetric, Samples
from lesa_framework.measure.cells import Cell
from lesa_framework.measure.results import Pair
from lesa_framework.measure.scoring import Metrics, finite_or_none, load_metrics, mean, scored

GROUP = [Pair(prompt="a dot", seed=1), Pair(prompt="a ring", seed=2)]
USUAL = load_metrics((), torch.device("cpu"))


def samples(value: float, latents: float = 1.0) -> Samples:
    return Samples(torch.full((2, 3, 8, 8), value), torch.full((2, 4), latents), 0.5)


def test_a_batch_is_measured_pair_by_pair():
    run = scored(Cell(), samples(0.6, 1.5), samples(0.5), GROUP, USUAL, keep=1)
    assert run.scores["psnr_db"] == [pytest.approx(20.0, abs=1e-4)] * 2
    assert run.scores["rel_l2"] == [0.5, 0.5]
    assert list(run.scores) == ["psnr_db", "ssim", "rel_l2"]
    assert (run.seconds, len(run.images)) == (0.5, 1)


def test_json_has_no_infinity_and_no_nan():
    class Broken(LoadedMetric):
        def measure(self, samples, references, prompts):
            return [math.nan, float(len(prompts[1]))]

    metrics = Metrics({**USUAL.loaded, "letters": Broken()})
    run = scored(Cell(), samples(0.5), samples(0.5), GROUP, metrics, keep=0)
    assert run.scores["letters"] == [None, 6.0]
    assert run.scores["psnr_db"] == [None, None], "identical"


@pytest.mark.parametrize(("broken", "what"), [(samples(math.nan), "images"), (samples(0.5, math.inf), "latents")])
def test_what_is_not_finite_is_no_result(broken, what):
    with pytest.raises(LesaError, match=f"the {what} became NaN or infinite"):
        scored(Cell(), broken, samples(0.5), GROUP, USUAL, keep=0)


def test_metrics_are_described_and_loaded_once():
    found = load_metrics(["rel_l2", "caption_score"], torch.device("cpu"))
    assert list(found.loaded) == list(found.described) == ["psnr_db", "ssim", "rel_l2", "caption_score"]
    assert found.described["psnr_db"].heading == "PSNR, dB"
    assert found.described["psnr_db"].digits == 2
    assert not found.described["rel_l2"].higher_is_better
    assert found.notes == ()


def test_a_metric_that_cannot_be_loaded_is_noted_by_name():
    found = load_metrics(["image_reward"], torch.device("cpu"))
    assert "image_reward" not in found.loaded | found.described
    (note,) = found.notes
    assert note.startswith("not measured: image_reward: ")


def test_means_are_over_what_there_is():
    assert mean([1.0, 3.0, None]) == 2.0
    assert mean([None]) is None
    assert mean([]) is None
    assert finite_or_none([1.0, math.inf, math.nan, None]) == [1.0, None, None, None]
