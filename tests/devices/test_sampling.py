"""Two processes share a model: predictions stay local, decisions agree, and pictures are those of one process."""

from __future__ import annotations

import pytest
import torch

from tests.devices.ranks import PLAN, Outcome

pytestmark = pytest.mark.slow

BOTH = "FFPPFPPPFPPP"  # what either process wants


def distance(one: Outcome, other: Outcome) -> float:
    return float((torch.tensor(one["latent"]) - torch.tensor(other["latent"])).abs().max())


@pytest.mark.parametrize(
    ("split", "when", "like"),
    [
        ("sequences", "before", "static"),
        ("sequences", "after", "static"),
        ("sequences", "output", "output"),
        ("weights", "static", "other prompt"),
        ("weights", "after", "other prompt"),
        ("matrices", "static", "static"),
        ("replicas", "static", "other prompt"),
    ],
)
def test_pictures_are_those_of_one_process(outcomes, split, when, like):
    for rank in range(2):
        found, alone = outcomes[rank][split][when], outcomes[rank]["one_process"][like]
        assert found["plan"] == alone["plan"] == PLAN
        assert distance(found, alone) < 1e-5


@pytest.mark.parametrize(
    ("split", "when", "head"),
    [
        ("sequences", "before", 1),  # the head's output is gathered, as without a cache
        ("sequences", "output", 0),
        ("weights", "static", 0),
        ("matrices", "static", 0),
        ("replicas", "static", 0),
    ],
)
def test_blocks_talk_on_computed_steps_alone(outcomes, split, when, head):
    for rank in range(2):
        found = outcomes[rank][split][when]
        assert set(found["predicted"]) == {head}
        assert split == "replicas" or min(found["computed"]) > 1


def test_a_history_holds_its_part_of_the_sequence(outcomes):
    whole = outcomes[0]["one_process"]["static"]["bytes"]
    assert [outcome["sequences"]["before"]["bytes"] for outcome in outcomes] == [whole // 2] * 2


@pytest.mark.parametrize("split", ["sequences", "weights", "matrices"])
def test_processes_that_share_a_model_compute_what_either_wants(outcomes, split):
    for rank in range(2):
        found, alone = outcomes[rank][split]["gate"], outcomes[rank]["one_process"]["both"]
        assert found["plan"] == alone["plan"] == BOTH
        assert distance(found, alone) < 1e-5


def test_a_prediction_that_one_process_refuses_is_computed_by_both(outcomes):
    for rank in range(2):
        found, alone = outcomes[rank]["sequences"]["broken"], outcomes[rank]["one_process"]["all but broken"]
        assert found["refused"] == [6]
        assert found["plan"] == alone["plan"]
        assert distance(found, alone) < 1e-5


def test_replicas_decide_on_their_own(outcomes):
    assert [outcome["replicas"]["alone"] for outcome in outcomes] == [True, True]
    assert [outcome["replicas"]["gate"]["plan"] for outcome in outcomes] == ["FFPPFPPPPPPP", "FFPPPPPPFPPP"]
    assert all(set(outcome["replicas"]["gate"]["computed"]) == {0} for outcome in outcomes)


def test_copies_of_shards_are_not_asked(outcomes):
    assert [outcome["groups"] for outcome in outcomes] == [{"copies": True, "shards": True, "neither": False}] * 2


@pytest.mark.parametrize("layout", ["copied", "split"])
@pytest.mark.parametrize("tap", ["pre_head", "post_norm", "output"])
def test_a_distributed_hidden_state_is_cached_by_parts(outcomes, layout, tap):
    found = [outcome["parts"][f"{layout}, {tap}"] for outcome in outcomes]
    assert all(distance < 1e-5 for distance, _ in found)
    sizes = [size for _, size in found]
    if layout == "split" and tap != "output":
        assert sizes[0] * 2 == sizes[1] * 3  # three of five tokens, and two
    else:
        assert sizes[0] == sizes[1]


def test_what_cannot_be_cached_is_named(outcomes):
    for outcome in outcomes:
        assert "partial sum" in outcome["parts"]["summands"]
        assert "Take the tap 'pre_head'" in outcome["parts"]["output"]
