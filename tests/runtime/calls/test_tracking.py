from __future__ import annotations

import pytest
import torch

from lesa_framework.runtime.calls.call import Branches, Call
from lesa_framework.runtime.calls.grid import FixedGrid, SchedulerGrid
from lesa_framework.runtime.calls.levels import Grid
from lesa_framework.runtime.calls.tracking import Position, Tracker
from lesa_framework.testing import TinyDiT, TinyPipeline, even_grid

GRID = even_grid(4)


def latent() -> torch.Tensor:
    return torch.zeros(1, 2, 3)


def prompt(number: float) -> torch.Tensor:
    return torch.full((1, 2, 3), number)


def fixed() -> Tracker:
    return Tracker(FixedGrid(GRID))


def run(tracker: Tracker, conditions, *, steps=range(4), context=None, renew=False) -> list[Position]:
    """Calls of a guided sampler: one for each condition at every step."""
    return sample(tracker, conditions, [GRID[step] for step in steps], context=context, renew=renew)


def sample(tracker: Tracker, conditions, levels, *, context=None, renew=False) -> list[Position]:
    """Calls of a guided sampler that is at these noise levels."""
    found = []
    for level in levels:
        shared = latent()
        for number, condition in enumerate(conditions):
            shown = condition.clone() if renew else condition
            name = None if context is None else context[number]
            found.append(tracker.locate(Call(shared, shown, level, name)))
    return found


def branches(positions: list[Position]) -> list[str]:
    return [position.branch for position in positions]


def test_steps_are_found_by_noise_level():
    assert [position.index for position in run(fixed(), [prompt(0)])] == [0, 1, 2, 3]


def test_only_the_first_call_opens_a_run():
    assert [position.new_run for position in run(fixed(), [prompt(0), prompt(1)])] == [True] + [False] * 7


def test_a_run_that_goes_back_is_a_new_one():
    tracker = fixed()
    run(tracker, [prompt(0)])
    assert run(tracker, [prompt(0)])[0].new_run


def test_a_run_that_stopped_at_its_first_step_and_began_again_is_a_new_one():
    tracker = fixed()
    run(tracker, [prompt(0)], steps=[0])
    assert run(tracker, [prompt(0)])[0].new_run


def test_a_run_that_goes_back_to_a_level_that_repeats_begins_with_the_first_of_them():
    class Heun(FixedGrid):
        def __init__(self):
            self._readings = (Grid((1.0, 1.0, 0.5, 0.0)),)

    tracker = Tracker(Heun())
    for _ in range(2):
        found = sample(tracker, [prompt(0)], [1.0, 1.0, 0.5])
        assert [(position.new_run, position.index) for position in found] == [(True, 0), (False, 1), (False, 2)]


def test_branches_by_the_very_tensor():
    assert branches(run(fixed(), [prompt(0), prompt(1)])) == ["branch0", "branch1"] * 4


def test_branches_by_equal_values():
    assert branches(run(fixed(), [prompt(0), prompt(1)], renew=True)) == ["branch0", "branch1"] * 4


def test_branches_that_change_places():
    tracker, one, two = fixed(), prompt(0), prompt(1)
    run(tracker, [one, two], steps=[0])
    assert branches(run(tracker, [two, one], steps=[1])) == ["branch1", "branch0"]


def test_branches_by_order_when_the_conditioning_changes_at_every_step():
    tracker = fixed()
    found = [
        tracker.locate(Call(shared, prompt(step + 10 * number), GRID[step]))
        for step, shared in ((step, latent()) for step in range(4))
        for number in range(2)
    ]
    assert branches(found) == ["branch0", "branch1"] * 4


def test_branches_by_context():
    found = run(fixed(), [prompt(0), prompt(0)], context=["cond", "uncond"])
    assert branches(found) == ["cond", "uncond"] * 4
    assert [position.branch_index for position in found] == [0, 1] * 4


def test_a_context_that_comes_twice_a_step_is_two_branches():
    found = run(fixed(), [prompt(0)] * 3, context=["cond"] * 3)
    assert branches(found) == ["cond", "cond#2", "cond#3"] * 4


def test_a_third_call_from_the_middle_of_the_run_on():
    # Skip-layer guidance starts and stops between two noise levels.
    tracker, one, two = fixed(), prompt(0), prompt(1)
    found = [
        *run(tracker, [one, two], steps=[0]),
        *run(tracker, [one, two, one], steps=[1, 2]),
        *run(tracker, [one, two], steps=[3]),
    ]
    assert branches(found) == [*["branch0", "branch1"], *["branch0", "branch1", "branch2"] * 2, "branch0", "branch1"]


def test_unconditional_models_have_one_branch():
    tracker = fixed()
    assert branches([tracker.locate(Call(latent(), None, GRID[step])) for step in range(4)]) == ["branch0"] * 4


def test_an_unknown_level_has_no_index_and_keeps_the_run():
    tracker = fixed()
    run(tracker, [prompt(0)], steps=[0, 1])
    lost = tracker.locate(Call(latent(), prompt(0), 0.61))
    assert (lost.index, lost.new_run, lost.branch) == (None, False, "branch0")
    assert not run(tracker, [prompt(0)], steps=[2])[0].new_run


def test_forgetting_opens_a_run_and_frees_tensors():
    tracker = fixed()
    run(tracker, [prompt(0)], steps=[0, 1])
    tracker.forget()
    assert tracker._branches == Branches()
    assert run(tracker, [prompt(0)], steps=[2])[0].new_run


def test_the_schedulers_step_is_taken_when_it_agrees():
    pipe = TinyPipeline(TinyDiT())
    pipe.scheduler.set_timesteps(4)
    pipe.scheduler.set_begin_index(2)
    tracker = Tracker(SchedulerGrid(pipe))
    assert tracker.locate(Call(latent(), prompt(0), torch.tensor([0.5]))).index == 2


def test_the_schedulers_step_is_corrected_when_it_does_not_agree():
    pipe = TinyPipeline(TinyDiT())
    pipe.scheduler.set_timesteps(4)
    tracker = Tracker(SchedulerGrid(pipe))
    pipe.scheduler.step_index = 1
    assert tracker.locate(Call(latent(), prompt(0), torch.tensor([0.5]))).index == 2
    assert tracker.locate(Call(latent(), prompt(0), torch.tensor([0.4]))).index is None


def test_a_finished_scheduler_is_not_followed_but_the_level_is():
    pipe = TinyPipeline(TinyDiT())
    pipe.scheduler.set_timesteps(4)
    pipe.scheduler.step_index = 4
    assert Tracker(SchedulerGrid(pipe)).locate(Call(latent(), None, 0.25)).index == 3


def elsewhere(level: float, condition=None) -> Call:
    """A call whose timestep is on another device; reading it would wait."""
    return Call(latent(), condition, torch.ones(1, device="meta"), noise_level=lambda: level)


def test_the_noise_level_is_not_worked_out_once_the_scheduler_was_right_at_two_steps():
    pipe = TinyPipeline(TinyDiT())
    pipe.scheduler.set_timesteps(4)
    tracker, found = Tracker(SchedulerGrid(pipe)), []
    for step in range(4):
        pipe.scheduler.step_index = step
        call = elsewhere(GRID[step])
        found.append(tracker.locate(call).index)
        assert ("sigma" in vars(call)) is (step < 2)
    assert found == [0, 1, 2, 3]


def test_without_a_scheduler_the_noise_level_is_worked_out():
    assert run(fixed(), [prompt(0)], steps=[2])[0].index == 2
    assert fixed().locate(elsewhere(0.25)).index == 3


def test_guidance_without_conditioning_on_separate_latents_is_one_run_of_a_pipeline():
    # Two calls a step that nothing but their order tells apart; the scheduler says that the run continues.
    pipe = TinyPipeline(TinyDiT())
    pipe.scheduler.set_timesteps(4)
    tracker = Tracker(SchedulerGrid(pipe))
    found = []
    for step in range(4):
        pipe.scheduler.step_index = step
        found += [tracker.locate(Call(latent(), None, GRID[step])) for _ in range(2)]
    assert [position.new_run for position in found] == [True] + [False] * 7
    assert branches(found) == ["branch0", "branch1"] * 4


def test_guidance_that_begins_late_and_comes_first():
    tracker, cond, uncond = fixed(), prompt(0), prompt(1)
    found = [*run(tracker, [cond], steps=[0, 1]), *run(tracker, [uncond, cond], steps=[2, 3])]
    assert branches(found) == ["branch0", "branch0", "branch1", "branch0", "branch1", "branch0"]


def test_a_prompt_that_changes_for_good_begins_one_branch():
    tracker, cond, uncond, other = fixed(), prompt(0), prompt(1), prompt(2)
    found = [*run(tracker, [cond, uncond], steps=[0, 1]), *run(tracker, [other, uncond], steps=[2, 3])]
    assert branches(found) == [*["branch0", "branch1"] * 2, *["branch2", "branch1"] * 2]


def test_a_call_is_never_given_a_branch_that_was_called_already():
    tracker = fixed()
    run(tracker, [prompt(0), prompt(1)], steps=[0])
    # The second prompt's call comes first, then an unknown one.
    found = run(tracker, [prompt(1), prompt(5)], steps=[1])
    assert branches(found) == ["branch1", "branch2"]


def test_a_later_start_after_a_whole_run_is_a_new_run():
    tracker = fixed()
    run(tracker, [prompt(0)])
    assert [position.new_run for position in run(tracker, [prompt(0)], steps=[2, 3])] == [True, False]


@pytest.mark.parametrize(
    "levels",
    [[1.0, 0.75, 0.5, 0.28], [0.95, 0.75, 0.5, 0.25], [0.95, 0.75, 0.5, 0.28], [0.95, 0.7, 0.45, 0.28]],
    ids=["last", "first", "both", "all"],
)
def test_a_level_that_rises_from_or_to_an_unknown_step_opens_a_run(levels):
    tracker = fixed()
    for _ in range(2):
        found = sample(tracker, [prompt(0), prompt(1)], levels)
        assert [position.new_run for position in found] == [True] + [False] * 7
        assert branches(found) == ["branch0", "branch1"] * 4


@pytest.mark.parametrize("direct", [[0.5, 0.37], [0.5], [0.37], [0.37, 0.37]], ids=str)
def test_a_run_after_direct_calls_is_a_new_one(direct):
    tracker = fixed()
    run(tracker, [prompt(0)])
    assert sample(tracker, [prompt(0)], direct)[0].new_run
    assert [position.new_run for position in run(tracker, [prompt(0)])] == [True, False, False, False]


def test_rounding_is_no_rise():
    # The second branch's timestep has another dtype: 0.4 is 0.4004 in bfloat16.
    tracker = fixed()
    run(tracker, [prompt(0), prompt(1)], steps=[0, 1])
    shared = latent()
    levels = [0.4, torch.tensor([0.4]).bfloat16()]
    found = [tracker.locate(Call(shared, prompt(number), level)) for number, level in enumerate(levels)]
    assert [(position.new_run, position.branch) for position in found] == [(False, "branch0"), (False, "branch1")]


@pytest.mark.parametrize("step", [0.1, 0.001], ids=["apart", "within rounding of each other"])
def test_unknown_levels_are_steps_of_their_own(step):
    levels = [0.95 - step * number for number in range(3)]
    found = sample(Tracker(FixedGrid([0.1, 0.0])), [prompt(0), prompt(1)], levels)
    assert branches(found) == ["branch0", "branch1"] * 3
    assert [position.new_run for position in found] == [True] + [False] * 5


def test_an_unknown_level_that_stays_is_a_step_for_every_latent():
    # A setting is read in the noise level's place.
    assert branches(sample(fixed(), [prompt(0), prompt(1)], [3.5] * 3)) == ["branch0", "branch1"] * 3


def test_a_schedulers_run_goes_on_when_the_level_rises_to_an_unknown_step():
    pipe = TinyPipeline(TinyDiT())
    pipe.scheduler.set_timesteps(4)
    tracker = Tracker(SchedulerGrid(pipe))
    pipe.scheduler.step_index = 1
    assert [position.new_run for position in sample(tracker, [prompt(0)], [0.75, 0.9, 0.75])] == [True, False, False]


def test_a_part_of_a_prompt_is_another_prompt():
    words = prompt(0)
    found = run(fixed(), [words, words[:, :1]])
    assert branches(found) == ["branch0", "branch1"] * 4
