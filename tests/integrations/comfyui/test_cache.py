"""The cache in a model: against the contract always, against ComfyUI where it is there."""

from __future__ import annotations

import pytest
import torch

import lesa_framework as lesa
from lesa_framework import Decision, Reason
from tests.integrations.comfyui import comfyui, contract, package

KINDS = ["flux", "qwen_image", "hunyuan_video", "wan", "lumina"]
STEPS = 20
ALWAYS = {"schedule": {"kind": "always"}}
EVEN = {"schedule": {"kind": "even", "speedup": 5}}


def part(world, name):
    return package.part(world.package, name)


def configured(schedule, predictor="taylorseer", tap="pre_head", **more):
    return lesa.load_config({**schedule, "predictor": {"kind": predictor}, "backbone": {"tap": tap}, **more})


def source(world, config):
    return part(world, "source").Chosen(config, lesa.build_strategy(config))


def put(world, patcher, config):
    chosen = part(world, "source").BySpeedup(config) if isinstance(config, float) else source(world, config)
    return part(world, "cache").put(patcher, chosen, world.where)


class Counter:
    """Counts how often the first and the last block of a model run."""

    def __init__(self, model) -> None:
        lists = [model.get_submodule(path) for path in lesa.find_adapter(model).adapter.blocks]
        blocks = [lists[0][0], lists[-1][-1]]
        self.counts = [0] * len(blocks)
        self._handles = [
            block.register_forward_hook(lambda *_, place=place: self._count(place))
            for place, block in enumerate(blocks)
        ]

    def _count(self, place):
        self.counts[place] += 1

    def stop(self):
        for handle in self._handles:
            handle.remove()
        return self.counts


def traces(model):
    """What a session could leave in a model."""
    modules = list(model.modules())
    return (
        [name for name in ("forward", "_lesa_attachment") if name in model.__dict__],
        [type(module).__qualname__ for module in modules if hasattr(type(module), "_lesa_own_class")],
        sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules),
    )


CLEAN = ([], [], 0)


@pytest.mark.parametrize("tap", ["pre_head", "output"])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_when_every_step_is_computed_nothing_changes(world, kind, batch, tap):
    patcher, noise = world.model(kind), world.noise(kind, batch)
    sigmas = world.sigmas(patcher, 6)
    plain = world.sample(patcher, noise, sigmas)
    cached, runs = put(world, patcher, configured(ALWAYS, tap=tap))
    assert torch.equal(world.sample(cached, noise, sigmas), plain)
    assert "  cond:   FFFFFF\n  uncond: FFFFFF" in runs.text()


@pytest.mark.parametrize("tap", ["pre_head", "output"])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_computes_what_it_says(world, kind, batch, tap):
    patcher, noise = world.model(kind), world.noise(kind, batch)
    cached, runs = put(world, patcher, configured(EVEN, tap=tap))
    counter = Counter(patcher.model.diffusion_model)
    result = world.sample(cached, noise, world.sigmas(patcher, STEPS))
    assert counter.stop() == [4, 4]
    assert result.isfinite().all()
    assert "20 steps, 4 computed (5.00x)" in runs.text()
    assert "  cond:   FPPPPFPPPPFPPPPFPPPP\n  uncond: FPPPPFPPPPFPPPPFPPPP" in runs.text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_reuse_of_the_output_is_a_sampler_of_fewer_steps(world, kind, guidance):
    patcher, noise = world.model(kind), world.noise(kind, 2)
    sigmas = world.sigmas(patcher, STEPS)
    fewer = world.sample(patcher, noise, sigmas[[0, 5, 10, 15, 20]], guidance=guidance)
    cached, _ = put(world, patcher, configured(EVEN, "reuse", "output"))
    torch.testing.assert_close(
        world.sample(cached, noise, sigmas, guidance=guidance), fewer, rtol=1e-4, atol=1e-4 * float(fewer.std())
    )


@pytest.mark.parametrize("kind", KINDS)
def test_guidance_in_two_calls_is_as_in_one(world, kind):
    patcher, noise = world.model(kind), world.noise(kind)
    sigmas, results = world.sigmas(patcher, STEPS), []
    for in_one_call in (True, False):
        cached, runs = put(world, patcher, configured(EVEN))
        results.append(world.sample(cached, noise, sigmas, in_one_call=in_one_call))
        assert "  cond:   FPPPPFPPPPFPPPPFPPPP\n" in runs.text()
        assert "  uncond: FPPPPFPPPPFPPPPFPPPP\n" in runs.text()
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3 * float(results[0].std()))


def test_without_guidance_there_is_one_branch(world):
    patcher = world.model("flux")
    cached, runs = put(world, patcher, configured(EVEN))
    world.sample(cached, world.noise("flux"), world.sigmas(patcher, STEPS), guidance=1.0)
    assert "  cond: FPPPPFPPPPFPPPPFPPPP" in runs.text()
    assert "uncond" not in runs.text()


def test_a_speedup_needs_no_configuration(world):
    patcher = world.model("flux")
    cached, runs = put(world, patcher, 5.0)
    world.sample(cached, world.noise("flux"), world.sigmas(patcher, STEPS))
    assert "20 steps, 4 computed (5.00x)" in runs.text()
    assert "chosen: taylorseer (no weights), 4 of 20 steps computed" in runs.text()


def test_two_samplers_one_after_the_other_are_as_each_alone(world):
    patcher = world.model("flux")
    settings = [(STEPS, 1, 2), (12, 2, 1), (STEPS, 1, 2)]

    def run(cached, steps, seed, batch):
        return world.sample(cached, world.noise("flux", batch, seed), world.sigmas(patcher, steps))

    alone = [run(put(world, patcher, configured(EVEN))[0], *setting) for setting in settings]
    cached, runs = put(world, patcher, configured(EVEN))
    assert all(torch.equal(run(cached, *setting), one) for setting, one in zip(settings, alone, strict=True))
    assert [text.splitlines()[0].split(",")[0] for text in runs.text(3).split("\n\n")] == [
        "20 steps",
        "12 steps",
        "20 steps",
    ]


def test_the_halves_of_a_run_are_runs_of_their_own(world):
    patcher, noise = world.model("flux"), world.noise("flux")
    sigmas = world.sigmas(patcher, STEPS)
    cached, runs = put(world, patcher, configured(EVEN))
    world.sample(cached, world.sample(cached, noise, sigmas[:11]), sigmas[10:])
    assert runs.text(2).count("10 steps, 2 computed (5.00x)") == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_without_a_cache_stays_clean(world, kind):
    patcher, noise = world.model(kind), world.noise(kind)
    sigmas = world.sigmas(patcher, STEPS)
    plain, before = world.sample(patcher, noise, sigmas), dict(patcher.model.diffusion_model.state_dict())
    cached, _ = put(world, patcher, configured(EVEN))
    assert cached.model is patcher.model
    world.sample(cached, noise, sigmas)
    assert traces(patcher.model.diffusion_model) == CLEAN
    after = patcher.model.diffusion_model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for clean in (patcher, patcher.clone()):
        assert torch.equal(world.sample(clean, noise, sigmas), plain)


def test_a_clone_of_a_clone_with_a_cache_has_it_too(world):
    patcher = world.model("flux")
    cached, runs = put(world, patcher, configured(EVEN))
    world.sample(cached.clone(), world.noise("flux"), world.sigmas(patcher, STEPS))
    assert "4 computed" in runs.text()


def test_the_second_cache_takes_the_place_of_the_first(world):
    patcher = world.model("flux")
    first, runs_of_first = put(world, patcher, configured(EVEN))
    second, runs = put(world, first, configured(ALWAYS))
    world.sample(second, world.noise("flux"), world.sigmas(patcher, STEPS))
    assert "20 steps, 20 computed" in runs.text()
    assert runs_of_first.text() == "no run yet"


def test_an_interrupted_run_leaves_nothing(world):
    patcher, noise = world.model("flux"), world.noise("flux")
    sigmas = world.sigmas(patcher, STEPS)
    cached, runs = put(world, patcher, configured(EVEN))
    whole = world.sample(cached, noise, sigmas)

    def interrupt(step):
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.sample(cached, noise, sigmas, callback=interrupt)
    assert "8 steps, 2 computed" in runs.text()
    assert traces(patcher.model.diffusion_model) == CLEAN
    assert torch.equal(world.sample(cached, noise, sigmas), whole)


SAMPLERS = [(module, name) for module in (contract, comfyui) for name in module.World.samplers]


@pytest.mark.parametrize(
    ("world", "sampler"),
    SAMPLERS,
    indirect=["world"],
    ids=[f"{module.World.name}-{name}" for module, name in SAMPLERS],
)
def test_any_sampler_works(world, sampler):
    patcher, noise = world.model("flux"), world.noise("flux", 2)
    sigmas = world.sigmas(patcher, STEPS)

    def sampled(config):
        torch.manual_seed(0)
        cached, runs = put(world, patcher, config)
        return world.sample(cached, noise, sigmas, sampler=sampler), runs

    torch.manual_seed(0)
    plain = world.sample(patcher, noise, sigmas, sampler=sampler)
    assert torch.equal(sampled(configured(ALWAYS))[0], plain)

    counter = Counter(patcher.model.diffusion_model)
    result, runs = sampled(configured(EVEN))
    report = runs.last
    calls = [record for record in report.records if record.branch == "cond"]
    computed = [record.index for record in calls if record.decision is Decision.COMPUTE]
    assert result.isfinite().all()
    # The plan holds on the grid, and what is asked off it is computed, for either call of a step that has two.
    assert {record.index for record in calls} - {-1} == set(range(STEPS))
    assert [index for index in computed if index >= 0] == [0, 5, 10, 15]
    assert all(record.decision is Decision.COMPUTE for record in report.records if record.index < 0)
    assert set(report.fallbacks) <= {Reason.UNKNOWN_STEP, Reason.REPEATED_STEP}
    second = [record for record in report.records if record.branch == "cond#2"]
    assert counter.stop()[0] == len(computed) + sum(record.decision is Decision.COMPUTE for record in second)
