"""Computed steps that are asked at another noise level and with a factor of the latent."""

from __future__ import annotations

import pytest
import torch

from lesa_framework import BackboneAdapter, PluginContractError, Reuse, Strategy, Tap, Tuning
from lesa_framework.runtime.asking import Asking
from lesa_framework.runtime.model.tuning import tuned
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, attach, even_grid, sample
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.test_hosted import Told, accelerated, run, strategy

GRID = even_grid(6)
COMPUTED = (0, 3)
TUNING, ASKING = Tuning(-0.01, 1.02), Asking(-0.01, 1.02)
LATENT = torch.arange(4.0).view(2, 2)


class Tuned(Reuse):
    """Reuse with tuned computed steps."""

    def __init__(self, tuning=TUNING):
        self.wanted = tuning

    def tuning(self, ctx):
        assert ctx.index in COMPUTED
        return self.wanted


class TunedByBranch(Tuned):
    def tuning(self, ctx):
        return self.wanted if ctx.branch == "cond" else None


class Ahead(Tuned):
    looks_ahead = True


class Thousand(TinyDiTAdapter):
    timestep_scale = 1 / 1000


class Reversed(TinyDiTAdapter):
    timestep_scale, timestep_offset = -1.0, 1.0


def arguments(latent=LATENT, timestep=0.5):
    return {"hidden_states": latent, "timestep": timestep}


def test_nothing_is_touched_where_nothing_is_tuned():
    assert tuned(TinyDiTAdapter(), arguments(), [None, None]) == {}


@pytest.mark.parametrize(
    ("adapter", "before", "after"), [(TinyDiTAdapter, 0.5, 0.49), (Thousand, 500.0, 490.0), (Reversed, 0.5, 0.51)]
)
@pytest.mark.parametrize("kind", [float, torch.tensor, lambda value: torch.full((2,), value)])
def test_the_timestep_moves_in_the_model_s_units(adapter, before, after, kind):
    changed = tuned(adapter(), arguments(timestep=kind(before)), [ASKING])
    assert type(changed["timestep"]) is type(kind(before))
    assert torch.as_tensor(changed["timestep"]).tolist() == pytest.approx(torch.as_tensor(kind(after)).tolist())


def test_integer_timesteps_become_numbers_that_can_move():
    changed = tuned(Thousand(), arguments(timestep=torch.tensor([500, 500])), [Asking(-0.0005)])
    assert changed["timestep"].tolist() == [499.5, 499.5]


@pytest.mark.parametrize(("adapter", "given"), [(TinyDiTAdapter, 0.0), (Reversed, 1.0)])
def test_tokens_of_given_frames_stay_without_noise(adapter, given):
    timestep = torch.tensor([[given, 0.5, 0.5], [given, 0.5, 0.5]])
    changed = tuned(adapter(), arguments(timestep=timestep), [ASKING])["timestep"]
    assert changed[:, 0].tolist() == [given, given]
    assert changed[:, 1:].flatten().tolist() == pytest.approx([0.49 if given == 0 else 0.51] * 4)


def test_the_latent_is_scaled_and_the_sampler_s_stays():
    latent = LATENT.clone()
    changed = tuned(TinyDiTAdapter(), arguments(latent), [ASKING])["hidden_states"]
    assert torch.equal(changed, 1.02 * LATENT)
    assert torch.equal(latent, LATENT)
    samples = tuned(TinyDiTAdapter(), arguments([LATENT[0], LATENT[1]]), [ASKING])["hidden_states"]
    assert torch.equal(torch.stack(samples), 1.02 * LATENT)


@pytest.mark.parametrize("as_list", [False, True])
def test_a_latent_moves_on_after_it_is_scaled(as_list):
    moved = torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    latent = list(LATENT) if as_list else LATENT
    changed = tuned(TinyDiTAdapter(), arguments(latent), [Asking(scale=2.0, moved=moved)])["hidden_states"]
    assert torch.equal(torch.stack(list(changed)), 2 * LATENT + moved)
    several = tuned(TinyDiTAdapter(), arguments(latent), [None, Asking(moved=moved[:1])])["hidden_states"]
    assert torch.equal(torch.stack(list(several)), torch.stack([LATENT[0], LATENT[1] + moved[0]]))


class Turned(TinyDiTAdapter):
    """Shows the latent with its axes exchanged."""

    def latent(self, arguments):
        return super().latent(arguments).mT


class TurnedBack(Turned):
    def as_given(self, tensor, arguments):
        return tensor.mT


def test_what_moves_a_latent_that_an_adapter_shows_in_another_shape_is_brought_back():
    given, moved = noise((2, 3, 4), 0), noise((1, 4, 3), 1)
    found = tuned(TurnedBack(), arguments(given), [None, Asking(moved=moved)])["hidden_states"]
    assert torch.equal(found, torch.cat([given[:1], given[1:] + moved.mT]))
    message = r"Turned: as_given returned samples of \(4, 3\), but those in 'hidden_states' are of \(3, 4\)"
    with pytest.raises(PluginContractError, match=message):
        tuned(Turned(), arguments(given), [None, Asking(moved=moved)])


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("timestep", [torch.tensor(0.5), torch.full((1,), 0.5), torch.full((2,), 0.5)])
def test_each_branch_of_a_batch_is_tuned_by_itself(as_list, timestep):
    latent = list(LATENT) if as_list else LATENT
    changed = tuned(TinyDiTAdapter(), arguments(latent, timestep), [None, ASKING])
    found = torch.stack(list(changed["hidden_states"]))
    assert torch.equal(found, torch.stack([LATENT[0], 1.02 * LATENT[1]]))
    assert changed["timestep"].tolist() == pytest.approx([0.5, 0.49])


def call(model, latent, sigma, prompt):
    return model(latent, sigma, noise((1, 3, 4), prompt), return_dict=False)[0]


def sampled(model, predictor, tap=Tap.PRE_HEAD, adapter=TinyDiTAdapter):
    chosen = Strategy(ComputeSteps(COMPUTED), EqualStages(), predictor)
    with attach(model, adapter(), chosen, GRID, tap):
        return sample(model, call, noise((1, 5, 4), 0), GRID)


class Heard(TinyDiT):
    """Notes what its blocks' first layer and its time embedding get."""

    def __init__(self):
        super().__init__()
        self.latents, self.levels = [], []
        self.embed.register_forward_pre_hook(lambda _, given: self.latents.append(given[0].clone()))
        self.time_embed.register_forward_pre_hook(lambda _, given: self.levels.append(float(given[0][0, 0])))


@pytest.mark.parametrize("tap", list(Tap))
def test_computed_steps_alone_are_asked_differently(tap):
    model, latent = Heard(), noise((1, 5, 4), 0)
    outputs = sampled(model, Tuned(), tap)
    asked = (
        {0: 0.99, 3: 0.49} if tap is Tap.OUTPUT else {step: GRID[step] - 0.01 * (step in COMPUTED) for step in range(6)}
    )
    latents = dict(zip(model.levels, model.latents, strict=True))  # the first step's call is repeated, to look at
    assert list(latents) == pytest.approx(list(asked.values()), abs=1e-6)
    heard = dict(zip(asked, latents.values(), strict=True))
    for step, output in enumerate(outputs):
        if step in heard:
            torch.testing.assert_close(heard[step], latent * (1.02 if step in COMPUTED else 1.0))
        latent = latent + (GRID[step + 1] - GRID[step]) * output


@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_a_step_ahead_goes_on_along_the_way_since_the_computed_step_before(kind):
    model, latent = Heard(), noise((1, 5, 4), 0)
    path = [latent]
    for step, output in enumerate(sampled(model, Ahead(Tuning(ahead=kind(0.5))), Tap.OUTPUT)):
        path.append(path[-1] + (GRID[step + 1] - GRID[step]) * output)
    asked = dict(zip(model.levels, model.latents, strict=True))  # the first step's call is repeated, to look at
    assert list(asked) == pytest.approx([GRID[0], GRID[3] + 0.5 * (GRID[3] - GRID[0])])
    first, second = asked.values()
    assert torch.equal(first, latent), "it has no way behind it"
    torch.testing.assert_close(second, path[3] + 0.5 * (path[3] - path[0]))


def test_without_looks_ahead_no_latent_is_kept_and_nothing_moves():
    wanted = sampled(TinyDiT(), Reuse())
    for found, expected in zip(sampled(TinyDiT(), Tuned(Tuning(ahead=0.5))), wanted, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("tap", list(Tap))
def test_a_tuning_that_changes_nothing_is_bit_identical(tap):
    for found, expected in zip(sampled(TinyDiT(), Tuned(Tuning()), tap), sampled(TinyDiT(), Reuse(), tap), strict=True):
        assert torch.equal(found, expected)


def test_an_adapter_is_checked_on_the_tuned_call():
    class Unverified(TinyDiTAdapter):
        unverified = True

    expected = sampled(TinyDiT(), Tuned())
    for found, wanted in zip(sampled(TinyDiT(), Tuned(), adapter=Unverified), expected, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("tap", list(Tap))
def test_branches_in_one_batch_are_tuned_as_in_calls_of_their_own(registered, tap):
    model, told, predictor = TinyDiT(), Told(), TunedByBranch(Tuning(-0.01, 1.02, 0.25))
    predictor.looks_ahead = True
    with accelerated(model, told, strategy(predictor=predictor), tap) as session:
        apart = run(model, told, batch=2, together=False)
        session.end_run("run")
        torch.testing.assert_close(run(model, told, batch=2), apart)
        session.end_run("run")
    with accelerated(model, told, strategy(), tap):
        assert not torch.allclose(run(model, told, batch=2), apart)


def test_every_adapter_shifts_as_it_reads():
    def level(adapter: BackboneAdapter, timestep):
        return float(adapter.noise_level({"hidden_states": LATENT, "timestep": timestep}))

    for adapter in (TinyDiTAdapter(), Thousand(), Reversed()):
        moved = adapter.shifted({"timestep": 0.25}, 0.125)
        assert level(adapter, moved) == pytest.approx(level(adapter, 0.25) + 0.125)
