from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lesa_fitted.normal_equations import energy
from lesa_fitted.velocities import Velocities, _without_rounding
from lesa_framework import StepContext
from lesa_framework.testing import pretended_device
from lesa_framework.testing.tiny_pipeline import noise
from tests.narrow import WithoutFloat64

SHAPE = (2, 1024, 16)
#: The first steps of FLUX.1-dev are as short.
SIGMAS = (1.0, 0.9936, 0.987, 0.0)


def walked(dtype: torch.dtype, guide, branches: int = 2, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """A step in a precision: the move as it is found, and what it was."""
    velocities, latent = Velocities(4, 2), noise(SHAPE, 9).to(device, dtype)
    features = [noise(SHAPE, number).to(device, dtype) for number in range(branches)]
    for feature in features:
        velocities.computed(StepContext(0, SIGMAS, latent=latent), feature)
    velocity = guide(*(feature.float() for feature in features))
    after = (latent.float() + (SIGMAS[1] - SIGMAS[0]) * velocity).to(dtype)
    velocities.predicted(StepContext(1, SIGMAS, latent=after))
    (found,) = velocities.newest(4)
    return found.float().cpu(), velocity.cpu()


def error(found: Tensor, velocity: Tensor) -> float:
    return float((found - velocity).square().sum() / velocity.square().sum())


def only(feature: Tensor) -> Tensor:
    return feature


def guided(cond: Tensor, uncond: Tensor) -> Tensor:
    return uncond + 1.5 * (cond - uncond)


def bent(cond: Tensor, uncond: Tensor) -> Tensor:
    """Guidance that is not linear."""
    return guided(cond, uncond) * cond.abs()


@pytest.mark.parametrize(("guide", "branches"), [(only, 1), (guided, 2)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_of_the_latents_is_taken_out(guide, branches, dtype):
    found, velocity = walked(dtype, guide, branches)
    assert error(found, velocity) < 1e-4


def test_a_device_without_float64(monkeypatch):
    here, _ = walked(torch.bfloat16, guided)
    monkeypatch.setattr("lesa_fitted.normal_equations._NARROW", ("lazy",))
    with pretended_device() as device, WithoutFloat64():
        there, _ = walked(torch.bfloat16, guided, device=device.device)
    assert torch.equal(there, here)


def test_guidance_in_one_call():
    """The model's input holds each sample twice, and its features are those of the two branches."""
    velocities, half = Velocities(4, 2), noise(SHAPE, 9).to(torch.bfloat16)
    cond, uncond = (noise(SHAPE, number).to(torch.bfloat16) for number in range(2))
    velocities.computed(StepContext(0, SIGMAS, latent=torch.cat([half, half])), torch.cat([uncond, cond]))
    velocity = guided(cond.float(), uncond.float())
    after = (half.float() + (SIGMAS[1] - SIGMAS[0]) * velocity).to(torch.bfloat16)
    velocities.predicted(StepContext(1, SIGMAS, latent=torch.cat([after, after])))
    (found,) = velocities.newest(1)
    assert torch.equal(found[:2], found[2:])
    assert error(found[:2], velocity) < 1e-4


def test_latents_that_are_only_rounded_for_the_model():
    velocities, latent, velocity = Velocities(4, 2), noise(SHAPE, 9), noise(SHAPE, 0).to(torch.bfloat16)
    velocities.computed(StepContext(0, SIGMAS, latent=latent.to(torch.bfloat16)), velocity)
    after = latent + (SIGMAS[1] - SIGMAS[0]) * velocity.float()
    velocities.predicted(StepContext(1, SIGMAS, latent=after.to(torch.bfloat16)))
    (found,) = velocities.newest(1)
    assert error(found, velocity.float()) < 1e-3


def test_a_noise_level_that_comes_twice_is_no_error():
    velocities, latent = Velocities(4, 2), noise(SHAPE, 9).to(torch.bfloat16)
    sigmas = (1.0, 0.9, 0.9, 0.0)
    velocities.computed(StepContext(1, sigmas, latent=latent), latent)
    velocities.predicted(StepContext(2, sigmas, latent=latent + 1))
    assert len(velocities.newest(4)) == 1


def test_it_was_large():
    """What the test above would find of the plain difference."""
    latent, velocity = noise(SHAPE, 9).to(torch.bfloat16), noise(SHAPE, 0)
    after = (latent.float() + (SIGMAS[1] - SIGMAS[0]) * velocity).to(torch.bfloat16)
    assert error((after.float() - latent.float()) / (SIGMAS[1] - SIGMAS[0]), velocity) > 0.02


def test_a_sampler_that_does_something_else_keeps_its_move():
    found, velocity = walked(torch.bfloat16, bent)
    assert 0.005 < error(found, velocity) < 0.2


def test_features_that_are_not_finite_change_nothing():
    latent, feature = noise(SHAPE, 9).half(), noise(SHAPE, 0).half()
    feature[0, 0, 0] = float("inf")
    velocities = Velocities(4, 2)
    velocities.computed(StepContext(0, SIGMAS, latent=latent), feature)
    velocities.predicted(StepContext(1, SIGMAS, latent=latent + 1))
    (found,) = velocities.newest(4)
    assert torch.equal(found, ((latent + 1).float() - latent.float()) / (SIGMAS[1] - SIGMAS[0]))


@pytest.mark.parametrize("lost", [False, True])
def test_parts_give_what_the_whole_gives(monkeypatch, lost):
    """In float64; the second of two samples may have overflowed."""
    features = [noise(SHAPE, number).to(torch.bfloat16) for number in range(2)]
    velocity = guided(*(feature.double() for feature in features))
    moved = (velocity + 0.05 * noise(SHAPE, 5)).float()
    if lost:
        features[0][1, 3, 3] = float("inf")

    def found(chunk: int) -> Tensor:
        monkeypatch.setattr("lesa_fitted.velocities.CHUNK", chunk)
        return _without_rounding(moved, features, 2, rounding=1e9)

    whole = found(1 << 20)
    assert torch.equal(whole[1], moved[1]) is lost
    assert error(whole[0], velocity[0]) < 1e-4 < error(moved[0], velocity[0])
    assert torch.allclose(found(1000), whole, rtol=1e-6, atol=1e-6)
    size = SHAPE[1] * SHAPE[2]
    columns = torch.stack([each[: 2 - lost].double().flatten() for each in features])
    weights = torch.linalg.lstsq(columns.T, moved[: 2 - lost].double().flatten()).solution
    assert torch.allclose(whole[0].double().flatten(), weights @ columns[:, :size], rtol=1e-6, atol=1e-6)


def test_energies_are_sums_of_parts(monkeypatch):
    values = noise(SHAPE, 1)
    monkeypatch.setattr("lesa_fitted.normal_equations.CHUNK", 1000)
    assert float(energy(values)) == pytest.approx(float(values.double().square().sum()), rel=1e-12)


def test_in_single_precision_the_difference_is_what_it_was():
    latent, velocity = noise(SHAPE, 9), noise(SHAPE, 0)
    velocities = Velocities(4, 2)
    velocities.computed(StepContext(0, SIGMAS, latent=latent), velocity)
    after = latent + (SIGMAS[1] - SIGMAS[0]) * velocity
    velocities.predicted(StepContext(1, SIGMAS, latent=after))
    assert torch.equal(velocities.newest(1)[0], (after - latent) / (SIGMAS[1] - SIGMAS[0]))


def test_features_of_another_shape_are_no_velocities():
    latent = noise(SHAPE, 9).to(torch.bfloat16)
    velocities = Velocities(4, 2)
    velocities.computed(StepContext(0, SIGMAS, latent=latent), noise((2, 1024, 48), 0).to(torch.bfloat16))
    velocities.computed(StepContext(1, SIGMAS, latent=latent + 1), noise((2, 1024, 48), 1).to(torch.bfloat16))
    (found,) = velocities.newest(4)
    assert torch.equal(found, torch.ones_like(latent).mul((latent + 1) - latent) / (SIGMAS[1] - SIGMAS[0]))
