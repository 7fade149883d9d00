"""What the steps before the timing warm up."""

from dataclasses import replace

import pytest

from benchmarks.full_size.cases import FLUX, QWEN_IMAGE
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.first_steps import FirstSteps
from benchmarks.full_size.lineup import line_up
from benchmarks.full_size.sampler import build_denoiser
from lesa_framework.measure.probing import Reference
from lesa_framework.runtime.features import history
from tests.benchmarks.full_size.benches import STEPS, short


@pytest.fixture
def added_up(monkeypatch):
    """How many features each sum was of, as on a GPU where each number has a kernel of its own."""
    found, weigh = [], history.weigh

    def counted(terms, instead):
        found.append((len(terms.features), instead is None))
        return weigh(terms, instead)

    monkeypatch.setattr(history, "weigh", counted)
    return found


@pytest.mark.parametrize(
    ("case", "boundaries"),
    [(FLUX, (0.9, 0.5)), (FLUX, (0.6, 0.3)), (QWEN_IMAGE, (0.6, 0.3))],
    ids=["one stage predicts", "two stages predict", "two branches"],
)
def test_a_timed_run_adds_up_no_number_of_features_for_the_first_time(added_up, case, boundaries):
    case = replace(short(case), boundaries=boundaries)
    denoiser = build_denoiser(case, Cpu())
    prober = FirstSteps(denoiser)
    bare, *others = line_up(case)
    probed, _ = prober.uncached(None, bare, [])
    for contender in (each for each in others if each.name in ("lesa-n7", "lesa-n10", "taylorseer-n10")):
        added_up.clear()
        prober._cache(contender, Reference(probed.calls, STEPS))
        warm = set(added_up)
        added_up.clear()
        with contender.attached(denoiser):
            denoiser.run(STEPS)
        assert set(added_up) == warm, contender.name


def test_no_more_steps_are_run_than_that_takes(monkeypatch):
    case = short(FLUX)
    denoiser = build_denoiser(case, Cpu())
    prober, steps = FirstSteps(denoiser), []
    bare, *others = line_up(case)
    probed, _ = prober.uncached(None, bare, [])
    monkeypatch.setattr(
        denoiser, "run", lambda num_steps, stop: steps.append(stop) or type(denoiser).run(denoiser, num_steps, stop)
    )
    named = {each.name: each for each in others}
    for name in ("reuse-n7", "taylorseer-n7"):
        prober._cache(named[name], Reference(probed.calls, STEPS))
    assert steps == [6, 6], "steps 0 to 3 are computed, 4 and 5 predicted"
