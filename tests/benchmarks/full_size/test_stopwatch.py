"""Parts of a call, on a clock that counts marks."""

from dataclasses import dataclass
from types import MethodType

import pytest
import torch

from benchmarks.full_size.cases import FLUX, HUNYUAN_VIDEO
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.lineup import line_up
from benchmarks.full_size.sampler import build_denoiser
from benchmarks.full_size.stopwatch import Stopwatch, split
from lesa_framework import find_adapter
from tests.benchmarks.full_size.benches import STEPS, short


@dataclass
class Ticks(Cpu):
    """Every mark is one second after the one before."""

    now: float = 0.0

    def __post_init__(self):
        super().__init__()

    def mark(self):
        self.now += 1.0
        return self.now


def _watched(case, name):
    case, device = short(case), Ticks()
    denoiser = build_denoiser(case, device)
    method = next(each for each in line_up(case) if each.name == name)
    watch = Stopwatch(device, denoiser.transformer, find_adapter(denoiser.transformer, case.name).adapter)
    with watch.running(), method.attached(denoiser):
        output = denoiser.run(STEPS)
    return split(watch.calls, device, seconds=1000.0), watch, output, denoiser


def test_a_computed_call_has_six_marks_and_a_predicted_one_no_stack():
    found, watch, _, _ = _watched(FLUX, "lesa-n5")
    assert len(watch.calls) == STEPS
    assert found.computed == {"prelude": 1.0, "stack": 1.0, "head": 1.0, "predictor": 2.0}
    assert found.predicted == {"prelude": 1.0, "stack": 0.0, "head": 1.0, "predictor": 2.0}


def test_at_the_output_a_predicted_call_is_the_predictor_alone():
    found, _, _, _ = _watched(HUNYUAN_VIDEO, "lesa-n7")
    assert found.predicted == {"prelude": 0.0, "stack": 0.0, "head": 0.0, "predictor": 1.0}


def test_what_is_in_no_call_is_the_samplers():
    found, _, _, _ = _watched(FLUX, "lesa-n5")
    assert sum(found.total.values()) == pytest.approx(1000.0)
    # The first computed call makes eight more without blocks, to see what need not run on predicted steps.
    assert found.total["sampler"] == 1000.0 - 5 * 5 - 7 * 4 - 8 * 3


def test_watching_changes_nothing_and_leaves_nothing():
    _, watch, output, denoiser = _watched(FLUX, "uncached")
    assert "forward" not in denoiser.transformer.__dict__
    seen = len(watch.calls)
    assert torch.equal(denoiser.run(STEPS), output)
    assert len(watch.calls) == seen


def test_a_peer_that_exchanges_the_forward_still_shows_its_parts():
    case, device = short(FLUX), Ticks()
    denoiser = build_denoiser(case, device)
    model = denoiser.transformer
    watch = Stopwatch(device, model, find_adapter(model, case.name).adapter)
    with watch.running():
        model.forward = MethodType(type(model).forward, model)
        denoiser.run(STEPS)
    found = split(watch.calls, device, seconds=1000.0)
    assert found.computed == {"prelude": 1.0, "stack": 1.0, "head": 1.0, "predictor": 0.0}
