"""`backbone: {kind: module}` on a DiT that is not from diffusers."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import Tap
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing import TinyScheduler, backbone_checks, even_grid
from tests.plugins.lesa_module.plain_dit import CHANNELS, CLASSES, PlainDiT

SECTION = {"kind": "module", "blocks": ["blocks"], "head": "final_layer", "sigma": "t/1000"}
GRID = even_grid(10)
TIMES = [1000 * level for level in GRID]

every_tap = pytest.mark.parametrize("tap", [tap.value for tap in Tap])


def config(schedule="fixed_interval", predictor="reuse", **backbone):
    settings = {"interval": 3, "warmup": 1} if schedule == "fixed_interval" else {}
    return lesa.load_config({
        "schedule": {"kind": schedule, **settings},
        "predictor": {"kind": predictor},
        "backbone": {**SECTION, **backbone},
    })  # fmt: skip


def noise(seed=0, size=8):
    return torch.randn(2, CHANNELS, size, size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def sample(model, latent, guidance=1.0, classes=(3, 4), fresh=False):
    """Euler steps; with guidance, two calls a step."""
    y, none = torch.tensor(classes), torch.full((2,), CLASSES)
    for time, following in pairwise(TIMES):
        t = torch.full((2,), time)
        step = model(latent, t, y.clone() if fresh else y)[:, :CHANNELS]
        if guidance > 1:
            without = model(latent, t, none.clone() if fresh else none)[:, :CHANNELS]
            step = without + guidance * (step - without)
        latent = latent + (following - time) / 1000 * step
    return latent


@torch.no_grad()
def reuse_by_hand(model, latent, computed):
    """What caching means, written out for this one model."""
    y, held = torch.tensor((3, 4)), None
    for index, (time, following) in enumerate(pairwise(TIMES)):
        hidden, c = model.embed(latent, torch.full((2,), time), y)
        if index in computed:
            for block in model.blocks:
                hidden = block(hidden, c)
            held = hidden
        output = model.unpatchify(model.final_layer(held, c), 8, 8)
        latent = latent + (following - time) / 1000 * output[:, :CHANNELS]
    return latent


class TestCaching:
    @every_tap
    @pytest.mark.parametrize("guidance", [1.0, 4.0])
    def test_always_is_bit_identical(self, tap, guidance):
        model = PlainDiT()
        bare = sample(model, noise(), guidance)
        with lesa.accelerate(model, config("always", tap=tap), sigmas=GRID) as session:
            assert torch.equal(sample(model, noise(), guidance), bare)
        assert session.report.nfe == 10
        assert session.report.info.backbone == "module"

    def test_reuse_is_what_one_would_write_by_hand(self):
        model = PlainDiT()
        with lesa.accelerate(model, config(), sigmas=GRID) as session:
            cached = sample(model, noise())
        assert session.report.plan() == "FPPFPPFPPF"
        assert torch.equal(cached, reuse_by_hand(model, noise(), {0, 3, 6, 9}))
        assert not torch.equal(cached, sample(model, noise()))

    def test_from_a_file(self, tmp_path):
        file = tmp_path / "plain.yaml"
        file.write_text(
            "schedule: {kind: fixed_interval, interval: 3, warmup: 1}\n"
            "predictor: {kind: reuse}\n"
            'backbone: {kind: module, blocks: [blocks], head: final_layer, sigma: "t/1000"}\n'
        )
        model = PlainDiT()
        with lesa.accelerate(model, lesa.load_config(file), sigmas=GRID):
            cached = sample(model, noise())
        assert torch.equal(cached, reuse_by_hand(model, noise(), {0, 3, 6, 9}))

    def test_detaching_leaves_no_trace(self):
        model = PlainDiT()
        bare, attributes = sample(model, noise()), set(model.__dict__)
        with lesa.accelerate(model, config(), sigmas=GRID):
            sample(model, noise())
        assert set(model.__dict__) == attributes
        assert torch.equal(sample(model, noise()), bare)

    def test_a_pipeline_of_ones_own(self):
        class Mine:
            def __init__(self):
                self.transformer, self.scheduler = PlainDiT(), TinyScheduler(shift=3.0)

            @torch.no_grad()
            def __call__(self, steps):
                latent, y = noise(), torch.tensor((3, 4))
                self.scheduler.set_timesteps(steps)
                for sigma in self.scheduler.sigmas[:-1]:
                    output = self.transformer(latent, (1000 * sigma).expand(2), y)
                    latent = self.scheduler.step(output[:, :CHANNELS], latent)
                return latent

        pipe = Mine()
        with lesa.accelerate(pipe, config()) as session:
            first = pipe(10)
            assert session.report.plan() == "FPPFPPFPPF"
            pipe(7)
            assert session.report.plan() == "FPPFPPF"
            assert torch.equal(pipe(10), first)

    def test_a_time_that_runs_from_noise_to_data(self):
        model, recorder = PlainDiT(), Recorder()
        times = torch.linspace(0, 1, 11)
        with lesa.accelerate(
            model, config(sigma="1 - t"), sigmas=[float(1 - t) for t in times], observers=[recorder]
        ), torch.no_grad():  # fmt: skip
            for t in times[:-1]:
                model(noise(), t.expand(2), torch.tensor((3, 4)))
        assert [record.index for record in recorder.records] == list(range(10))

    def test_the_timesteps_of_ddpm_end_at_0(self):
        model = PlainDiT()
        timesteps = [900, 675, 450, 225, 0]
        sigmas = [(t + 1) / 1000 for t in timesteps] + [0]
        with lesa.accelerate(model, config(sigma="(t + 1)/1000"), sigmas=sigmas) as session, torch.no_grad():
            for t in timesteps:
                model(noise(), torch.tensor([t, t]), torch.tensor((3, 4)))
        assert session.report.plan() == "FPPFP"


class TestBranches:
    @pytest.mark.parametrize("condition", ["auto", "y", None])
    @pytest.mark.parametrize("fresh", [False, True], ids=["same tensors", "new tensors"])
    def test_guidance_by_two_calls(self, condition, fresh):
        model, recorder = PlainDiT(), Recorder()
        with lesa.accelerate(model, config(condition=condition), sigmas=GRID, observers=[recorder]):
            cached = sample(model, noise(), guidance=4.0, fresh=fresh)
        assert {record.branch for record in recorder.records} == {"branch0", "branch1"}
        assert len(recorder.records) == 20
        with lesa.accelerate(model, config(condition=condition), sigmas=GRID):
            assert torch.equal(sample(model, noise(), guidance=4.0), cached)
            unguided = sample(model, noise())
        assert torch.equal(unguided, reuse_by_hand(model, noise(), {0, 3, 6, 9}))

    def test_guidance_in_one_batch_through_a_method_of_the_models_own(self):
        model, recorder = PlainDiT(), Recorder()
        latent, y = noise().repeat(2, 1, 1, 1), torch.tensor([3, 4, CLASSES, CLASSES])
        with lesa.accelerate(model, config(), sigmas=GRID, observers=[recorder]), torch.no_grad():
            for time in TIMES[:-1]:
                output = model.forward_with_cfg(latent, torch.full((4,), time), y, cfg_scale=4.0)
                assert output.shape == (4, 2 * CHANNELS, 8, 8)
        assert {record.branch for record in recorder.records} == {"branch0"}
        assert "".join("P" if r.decision == "predict" else "F" for r in recorder.records) == "FPPFPPFPPF"

    def test_arguments_in_kwargs(self):
        class Loose(PlainDiT):
            def forward(self, x, **kwargs):
                return super().forward(x, kwargs["t"], kwargs["y"])

        model, recorder = Loose(), Recorder()
        with lesa.accelerate(model, config(), sigmas=GRID, observers=[recorder]), torch.no_grad():
            for step, time in enumerate(TIMES[:-1]):
                for number in (3, 4) if step % 2 else (4, 3):
                    model(noise(), t=torch.full((2,), time), y=torch.full((2,), number))
        assert [record.branch for record in recorder.records][:4] == ["branch0", "branch1", "branch1", "branch0"]

    def test_the_latent_need_not_come_first(self):
        class TimeFirst(PlainDiT):
            def forward(self, t, x, y):
                return super().forward(x, t, y)

        model = TimeFirst()
        adapter = lesa.find_adapter(model, config().backbone).adapter
        assert (adapter.latent_argument, adapter.condition_argument) == ("x", "y")
        with lesa.accelerate(model, config(), sigmas=GRID) as session, torch.no_grad():
            for time in TIMES[:-1]:
                model(torch.full((2,), time), noise(), torch.tensor((3, 4)))
        assert session.report.nfe == 4


def call(model, latent, sigma, prompt):
    y = torch.full((latent.shape[0],), prompt % (CLASSES + 1), device=latent.device)
    return model(latent, torch.full((latent.shape[0],), 1000 * sigma, device=latent.device), y)[:, :CHANNELS]


@pytest.mark.parametrize(
    "check",
    backbone_checks(
        lesa.find_adapter(PlainDiT(), config().backbone).adapter,
        make_model=PlainDiT,
        call=call,
        make_latent=lambda size: noise(size=8 * size)[:1],
    ),
    ids=str,
)
def test_the_contract_of_backbones(check):
    check()


@pytest.mark.parametrize(("formula", "moved"), [("t/1000", 490.0), ("1 - t/1000", 510.0), ("t/(t + 500)", 500.0)])
def test_a_timestep_is_shifted_where_the_formula_is_a_straight_line(formula, moved):
    adapter = lesa.find_adapter(PlainDiT(), config(sigma=formula).backbone).adapter
    assert adapter.shifted({"self": None, "x": noise(), "t": 500.0}, -0.01) == pytest.approx(moved)
