"""Where a step finds its row, on the grid of the fit and on another."""

from __future__ import annotations

import pytest
import torch

from lesa_fitted.fitted import Fitted
from lesa_fitted.predictor import FittedPredictorConfig
from lesa_fitted.table import Place, TableShape, find_place, spread
from lesa_framework import EntryInfo, Filter, Reason, Strategy, Tap, Tuning
from lesa_framework.artifacts import Artifact, ArtifactMetadata, save_artifact
from lesa_framework.interfaces.schedule import Always
from lesa_framework.runtime.strategy import plan
from lesa_framework.testing import even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.types import StepContext

SHAPE = TableShape(8, (0, 2, 5), 2, ("cond", "uncond"), "all")
GRID = even_grid(8)


def entries(*steps: int) -> tuple[EntryInfo, ...]:
    return tuple(EntryInfo(step, computed=True) for step in steps)


def test_a_row_knows_the_features_it_reads():
    assert [SHAPE.entries(step) for step in range(8)] == [(), (0,), (0,), (2, 0), (2, 0), (2, 0), (5, 2), (5, 2)]
    assert [SHAPE.end(step) for step in range(8)] == [2, 2, 5, 5, 5, 8, 8, 8]
    every = TableShape(4, (0,), 2, ("cond",), "own", "all")
    assert [every.entries(step) for step in range(4)] == [(), (0,), (1, 0), (2, 1)]


def test_on_its_own_grid_a_row_finds_its_features_wherever_they_are():
    ctx = StepContext(4, GRID)
    place = find_place(SHAPE, GRID, True, entries(2, 0), ctx)
    assert place is not None
    assert (place.step, place.order) == (4, (0, 1))
    beside_another = find_place(SHAPE, GRID, True, entries(3, 2, 0), ctx)
    assert beside_another is not None
    assert beside_another.order == (1, 2)
    # A step that was computed in the fit has no row, though all features before it are held.
    assert find_place(SHAPE, GRID, True, entries(2, 0), StepContext(5, GRID)) is None


def test_on_another_grid_the_row_is_that_of_the_nearest_interval_and_level():
    other = even_grid(16)  # twice as fine: computed steps 0, 4, 10
    for index, held, row in ((1, (0,), 1), (3, (0,), 1), (6, (4, 0), 3), (9, (4, 0), 4), (15, (10, 4), 7)):
        place = find_place(SHAPE, GRID, False, entries(*held), StepContext(index, other))
        assert place is not None
        assert place.step == row, index


# It was reuse of the newest feature, for the whole of a run that began later: far from what the fit had found.
def test_the_weight_of_a_feature_that_is_not_held_goes_to_the_nearest_that_is():
    for held, order in (((3, 2), (1, 1)), ((3,), (0, 0)), ((2,), (0, 0)), ((2, 1), (0, 1)), ((3, 0), (0, 1))):
        place = find_place(SHAPE, GRID, True, entries(*held), StepContext(4, GRID))
        assert place is not None
        assert (place.step, place.order) == (4, order), held
    place = find_place(SHAPE, GRID, False, entries(4), StepContext(6, even_grid(16)))  # no feature of its step 0
    assert place is not None
    assert (place.step, place.order) == (3, (0, 0))


# The later interval was reuse, and in those after it weights of older features moved on by one.
def test_two_computed_noise_levels_on_one_step_share_its_feature_and_the_later_interval_is_the_rows():
    shape, grid = TableShape(50, (0, 4, 10, 11, 20), 8, ("a",)), even_grid(20)  # steps 10 and 11 move to step 4

    def found(index, *held):
        return find_place(shape, even_grid(50), False, entries(*held), StepContext(index, grid))

    assert found(6, 4, 2, 0) == Place(15, (0, 0, 1, 2))
    assert found(9, 8, 4, 2, 0) == Place(22, (0, 1, 1, 2, 3))
    assert found(9, 8, 4) == Place(22, (0, 1, 1, 1, 1))  # began later
    # Between the two, which are two steps of a finer grid, the fit predicted nothing.
    assert find_place(shape, even_grid(50), False, entries(20, 8, 0), StepContext(21, even_grid(100))) is None


# By level alone the newest feature would get no weight.
def test_a_run_whose_computed_steps_are_at_other_levels_gives_weights_in_turn():
    grid = tuple(level**0.5 for level in GRID)
    assert find_place(SHAPE, GRID, False, entries(5, 2), StepContext(6, grid)) == Place(4, (0, 1))


def test_weights_go_to_the_places_of_their_features():
    assert spread([3.0, 4.0], (0, 2)) == (3.0, 0.0, 4.0)
    assert spread([3.0, 4.0, 5.0], (0, 1, 1)) == (3.0, 9.0)
    assert spread([3.0], (1,)) == (0.0, 3.0)


def table() -> torch.Tensor:
    return torch.arange(torch.Size(SHAPE.size).numel(), dtype=torch.float64).view(SHAPE.size)


@pytest.mark.parametrize("steps", [8, 20])
def test_a_plan_can_print_every_filter(steps):
    grid = even_grid(steps)
    computed = [min(range(steps), key=lambda i: abs(grid[i] - GRID[each])) for each in SHAPE.computed]
    fitted = Fitted(SHAPE, table(), GRID)
    found = plan(Strategy(ComputeSteps(tuple(computed)), EqualStages(), fitted), grid, ("cond", "uncond"))
    predicted = [ctx for ctx, reason in found if reason is Reason.PREDICTED]
    assert len(predicted) == 2 * (steps - 3)
    for ctx in predicted:
        given = fitted.filter(ctx.entries, ctx)
        assert len(given.weights) == len(ctx.entries)
        assert set(given.others) == {"cond", "uncond"} - {ctx.branch}


def test_own_weights_come_first_and_other_branches_by_name():
    fitted, weights = Fitted(SHAPE, table(), GRID), table()
    ctx = StepContext(4, GRID, "uncond", 1, entries=entries(2, 0), others={"cond": entries(2, 0)})
    assert fitted.filter(ctx.entries, ctx) == Filter(
        tuple(weights[4, 1, 1].tolist()), others={"cond": tuple(weights[4, 1, 0].tolist())}
    )


def test_without_the_branch_it_needs_a_step_reuses_the_newest():
    fitted = Fitted(SHAPE, table(), GRID)
    alone = StepContext(4, GRID, "cond", 0, entries=entries(2, 0))
    assert fitted.filter(alone.entries, alone) == Filter((1.0,))


def test_a_run_that_begins_later_keeps_the_filters_it_was_fitted_with():
    fitted, weights = Fitted(SHAPE, table(), GRID), table()
    late = StepContext(6, GRID, "cond", 0, entries=entries(5), others={"uncond": entries(5)})
    own, other = weights[6, 0].sum(-1).tolist()
    assert fitted.filter(late.entries, late) == Filter((own,), others={"uncond": (other,)})


def test_a_strategy_that_computes_everything_never_asks():
    strategy = Strategy(Always(), EqualStages(), Fitted(SHAPE, table(), GRID))
    assert all(reason is Reason.SCHEDULE for _, reason in plan(strategy, GRID))


def test_computed_steps_are_tuned_on_the_grid_of_the_fit_and_by_noise_level_on_another():
    tuning = torch.zeros(SHAPE.tuning_size)
    tuning[2, 1], tuning[5, 1] = torch.tensor([0.25, 0.5, 0.0]), torch.tensor([-0.25, 0.0, 0.125])
    fitted = Fitted(SHAPE, table(), GRID, tuning)

    def found(step, grid=GRID, branch="uncond"):
        return fitted.tuning(StepContext(step, grid, branch, ("cond", "uncond").index(branch)))

    assert found(2) == Tuning(0.25, 1.5)
    assert found(5) == Tuning(-0.25, 1.0, 0.125)
    assert found(2, branch="cond") is None
    assert found(3) is None  # computed out of turn
    finer = even_grid(16)
    assert [found(step, finer) for step in (4, 5, 9)] == [Tuning(0.25, 1.5), Tuning(0.25, 1.5), found(5)]
    assert fitted.looks_ahead
    assert not Fitted(SHAPE, table(), GRID, tuning * torch.tensor([1.0, 1.0, 0.0])).looks_ahead
    assert Fitted(SHAPE, table(), GRID).tuning(StepContext(2, GRID)) is None


def test_weights_of_a_fit_that_asked_nothing_ahead_still_serve(tmp_path):
    metadata = ArtifactMetadata(
        kind="fitted", settings=SHAPE.as_json(), sigmas=GRID, backbone="flux", tap=Tap.OUTPUT, config={}
    )
    tuning = torch.full((*SHAPE.tuning_size[:-1], 2), 0.25)
    save_artifact(tmp_path / "old.safetensors", Artifact(metadata, {"weights": table(), "tuning": tuning}))
    fitted = FittedPredictorConfig(weights=tmp_path / "old.safetensors").build()
    assert fitted.tuning(StepContext(2, GRID, "cond")) == Tuning(0.25, 1.25)
    assert not fitted.looks_ahead
