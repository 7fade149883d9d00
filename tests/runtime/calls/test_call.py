"""What tells a call's branch, in the cases that a whole run of a sampler does not reach."""

from __future__ import annotations

import pytest
import torch

from lesa_framework.runtime.calls.call import Branch, Branches, Call

LATENT = torch.zeros(1, 2)


def call(condition=None, *, latent=LATENT, context=None, part="") -> Call:
    return Call(latent, condition, 0.5, context, part)


@pytest.mark.parametrize(
    ("timestep", "level", "free"),
    [
        (0.25, 0.25, True),
        (1, 1.0, True),
        (torch.tensor([0.25, 0.75, 0.5]), 0.75, True),  # of several tokens the noisiest
    ],
)
def test_the_noise_level_of_a_call(timestep, level, free):
    made = Call(LATENT, None, timestep)
    assert made.sigma == level
    assert type(made.sigma) is float
    assert made.sigma_is_free is free
    assert Call(LATENT, None, timestep, noise_level=lambda: torch.tensor([0.1, 0.125])).sigma == 0.125
    assert not Call(LATENT, None, torch.ones(1, device="meta")).sigma_is_free


def test_a_branch_is_known_by_its_context_before_its_conditioning():
    text = torch.ones(1, 3)
    named = Branch("cond", 0, "", condition=text, context="cond")
    assert named.is_of(call(torch.zeros(1, 3), context="cond"))
    assert not named.is_of(call(text, context="uncond"))
    assert not named.is_of(call(text))
    assert not Branch("branch0", 0, "", condition=text).is_of(call(text, context="cond"))


def test_a_branch_is_known_by_its_conditioning():
    text = torch.arange(6.0).view(2, 3)
    branch = Branch("branch0", 0, "", condition=text)
    assert branch.is_of(call(text))
    assert branch.is_of(call(text.clone()))
    assert branch.is_of(call(text.view(2, 3)))
    assert not branch.is_of(call(text + 1))
    assert not branch.is_of(call(text[:1]))  # the same memory, but not all of it
    assert not branch.is_of(call(text.view(3, 2)))
    assert not branch.is_of(call())
    assert not Branch("branch0", 0, "").is_of(call(text))
    assert Branch("branch0", 0, "").is_of(call())


def test_values_on_another_device_are_not_read():
    text = torch.ones(1, 3, device="meta")
    branch = Branch("branch0", 0, "", condition=text)
    assert branch.is_of(call(text))
    assert not branch.is_of(call(torch.ones(2, 3, device="meta")))


def test_each_transformer_has_branches_of_its_own():
    branches, text = Branches(), torch.ones(1, 3)
    names = [branches.take(call(text, part=part, context=context)).name for part, context in [
        ("", None), ("second", None), ("second", "cond"), ("second", "cond"), ("", "cond"),
    ]]  # fmt: skip
    assert names == ["branch0", "branch0 (second)", "cond (second)", "cond#2 (second)", "cond"]


def test_branches_are_numbered_by_transformer_in_order_of_appearance():
    branches = Branches()
    found = [branches.take(call(torch.full((1,), float(n)), part=part)) for n, part in enumerate(["", "b", "", "b"])]
    assert [branch.number for branch in found] == [0, 0, 1, 1]


def test_new_conditioning_is_told_by_the_order_of_its_own_transformers_calls():
    branches = Branches()
    first = [branches.take(call(torch.full((1,), float(n)), part=part)) for n, part in enumerate(["", "b", "b"])]
    branches.end_step()
    # The other transformer's calls come first now.
    second = [branches.take(call(torch.full((1,), 10.0 + n), part=part)) for n, part in enumerate(["b", "b", ""])]
    assert [branch.name for branch in second] == [first[1].name, first[2].name, first[0].name]


def test_a_branch_that_was_recognised_once_is_not_given_away_by_order():
    branches, text = Branches(), torch.ones(1)
    taken = branches.take(call(text))
    branches.end_step()
    assert branches.take(call(text)) is taken
    branches.end_step()
    assert branches.take(call(torch.zeros(1))) is not taken


def test_a_step_is_over_when_its_branches_come_again_with_another_latent():
    branches, one, two = Branches(), torch.ones(1), torch.zeros(1)
    other = torch.zeros(1, 2)
    assert not branches.steps_on(call(one, latent=other))  # nothing was called
    branches.take(call(one))
    branches.take(call(two))
    assert branches.steps_on(call(one, latent=other))
    assert branches.repeats(call(one, latent=other))
    assert not branches.steps_on(call(one))  # on this latent: a second call of the step
    assert not branches.repeats(call(one))
    new = call(torch.full((1,), 5.0), latent=other)
    assert not branches.steps_on(new)  # it may be this step's third branch
    assert not branches.repeats(new)
    for sees in (branches.steps_on, branches.repeats):
        assert not sees(call(one, latent=other, part="second"))  # another transformer's first call of the step
    branches.end_step()
    branches.take(call(one))
    assert not branches.steps_on(new)
    branches.take(call(two))
    assert branches.steps_on(new)  # as many as in the step before


def test_a_lone_branch_with_new_conditioning_at_every_call_is_called_once_a_step():
    branches, other = Branches(), torch.zeros(1, 2)
    first, second, third = (call(torch.full((1,), float(n)), latent=other if n else LATENT) for n in range(3))
    branches.take(first)
    assert not branches.steps_on(second)  # nothing is known of the step before
    branches.end_step()
    branches.take(first)
    assert branches.steps_on(third)


def test_a_branch_that_was_told_by_order_is_known_by_its_new_conditioning():
    branches, other = Branches(), torch.zeros(1, 2)
    old, new = torch.zeros(1), torch.ones(1)
    branches.take(call(old))
    branches.end_step()
    branches.take(call(new))
    assert branches.repeats(call(new, latent=other))
    assert not branches.repeats(call(old, latent=other))


def test_a_latent_is_shared_with_any_branch_of_the_step():
    branches, other = Branches(), torch.zeros(1, 2)
    branches.take(call(torch.zeros(1)))
    branches.take(call(torch.ones(1), latent=other))
    assert branches.share(LATENT)
    assert branches.share(other)
    assert not branches.share(other.clone())
    branches.end_step()
    assert not branches.share(other)
