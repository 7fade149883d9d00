"""What only ComfyUI itself has: patched weights, low memory, its compiler, and its loader of nodes."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import warnings

import pytest
import torch

import lesa_framework as lesa
from tests.integrations.comfyui import comfyui, package

STEPS = 10

in_comfyui = pytest.mark.parametrize("world", [comfyui], indirect=True, ids=["comfyui"])


def put(world, patcher, speedup=None):
    part = package.part(world.package, "source")
    schedule = {"kind": "always"} if speedup is None else {"kind": "even", "speedup": speedup}
    config = lesa.load_config({"schedule": schedule, "predictor": {"kind": "taylorseer"}})
    source = part.Chosen(config, lesa.build_strategy(config))
    return package.part(world.package, "cache").put(patcher, source, world.where)


def sampled(world, patcher):
    return world.sample(patcher, world.noise("flux"), world.sigmas(patcher, STEPS))


def with_lora(patcher, strength=0.5):
    """A clone with a change of weights in a block and in the head."""
    keys = ("diffusion_model.double_blocks.0.img_mlp.0.weight", "diffusion_model.final_layer.linear.weight")
    weights = patcher.model.state_dict()
    random = torch.Generator().manual_seed(1)
    clone = patcher.clone()
    patches = {key: ("diff", (torch.randn(weights[key].shape, generator=random),)) for key in keys}
    assert set(clone.add_patches(patches, strength)) == set(keys)
    return clone


@in_comfyui
@pytest.mark.parametrize("is_lora_first", [True, False])
def test_a_lora_is_where_it_was(world, is_lora_first):
    patcher = world.model("flux")
    bare, patched = sampled(world, patcher), sampled(world, with_lora(patcher))
    assert not torch.equal(bare, patched)
    cached = put(world, with_lora(patcher))[0] if is_lora_first else with_lora(put(world, patcher)[0])
    assert torch.equal(sampled(world, cached), patched)
    assert torch.equal(sampled(world, patcher), bare)


@in_comfyui
def test_a_lora_that_is_predicted_leaves_the_weights_of_others(world):
    patcher = world.model("flux")
    bare = sampled(world, patcher)
    cached, runs = put(world, with_lora(patcher), 5.0)
    sampled(world, cached)
    assert "10 steps, 2 computed" in runs.text()
    assert torch.equal(sampled(world, patcher), bare)


@in_comfyui
def test_a_model_that_is_loaded_in_parts_stays_so(world, monkeypatch):
    patcher = world.model("flux")
    full, load = sampled(world, with_lora(patcher)), type(patcher).load

    def in_parts(self, device_to=None, lowvram_model_memory=0, force_patch_weights=False, full_load=False):
        load(self, device_to, 2000, force_patch_weights, False)

    def loaded_apart(model):
        return [name for name, module in model.named_modules() if getattr(module, "comfy_cast_weights", False)]

    monkeypatch.setattr(type(patcher), "load", in_parts)
    patcher = world.model("flux")
    plain = sampled(world, with_lora(patcher))
    assert torch.allclose(plain, full, rtol=1e-4, atol=1e-3)
    before = loaded_apart(patcher.model.diffusion_model)
    assert before
    cached, _ = put(world, with_lora(patcher))
    assert torch.equal(sampled(world, cached), plain)
    assert loaded_apart(patcher.model.diffusion_model) == before
    predicted, runs = put(world, with_lora(patcher), 5.0)
    assert sampled(world, predicted).isfinite().all()
    assert "10 steps, 2 computed" in runs.text()


@in_comfyui
@pytest.mark.parametrize("keys", [["diffusion_model"], ["diffusion_model.double_blocks.1"]], ids=["whole", "a block"])
@pytest.mark.parametrize("is_compiled_first", [True, False])
def test_a_compiled_model_is_cached_too(world, keys, is_compiled_first):
    compiler = importlib.import_module("comfy_api.torch_helpers")
    patcher, graphs = world.model("flux"), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def compiled(patcher):
        clone = patcher.clone()
        compiler.set_torch_compile_wrapper(clone, backend=backend, keys=keys)
        return clone

    def cached(speedup=None):
        if is_compiled_first:
            return put(world, compiled(patcher), speedup)
        clone, runs = put(world, patcher, speedup)
        return compiled(clone), runs

    bare, plain = sampled(world, patcher), sampled(world, compiled(patcher))
    torch.testing.assert_close(sampled(world, cached()[0]), plain)
    torch._dynamo.reset()
    graphs.clear()
    clone, runs = cached(5.0)
    torch.testing.assert_close(sampled(world, clone), sampled(world, put(world, patcher, 5.0)[0]), rtol=1e-3, atol=1e-2)
    assert "10 steps, 2 computed" in runs.text()
    assert graphs
    assert torch.equal(sampled(world, patcher), bare)
    torch._dynamo.reset()


@in_comfyui
def test_regions_have_branches_of_their_own(world):
    patcher, noise = world.model("flux"), world.noise("flux", 2)
    sigmas = world.sigmas(patcher, STEPS)
    plain = world.sample(patcher, noise, sigmas, regions=True)
    assert not torch.equal(plain, world.sample(patcher, noise, sigmas))
    assert torch.equal(world.sample(put(world, patcher)[0], noise, sigmas, regions=True), plain)
    cached, runs = put(world, patcher, 5.0)
    assert world.sample(cached, noise, sigmas, regions=True).isfinite().all()
    report = runs.last
    assert {"cond", "cond.2", "cond.3", "uncond"} <= set(report.branches)
    assert {report.plan(branch) for branch in report.branches} == {"FPPPPFPPPP"}


@in_comfyui
def test_comfyui_loads_the_folder(world, tmp_path, monkeypatch):
    added = []
    monkeypatch.setattr(lesa, "add_plugin", lambda name, plugin: added.append(name))
    folder = tmp_path / "custom_nodes" / "lesa"
    shutil.copytree(package.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = importlib.import_module("nodes")
    assert asyncio.run(nodes.load_custom_node(str(folder)))
    assert added == ["lesa_comfyui"]
    assert {"LESACache", "LESAReport"} <= set(nodes.NODE_CLASS_MAPPINGS)
    assert nodes.NODE_DISPLAY_NAME_MAPPINGS["LESACache"] == "LESA cache"
    assert nodes.NODE_CLASS_MAPPINGS["LESACache"].INPUT_TYPES()["required"].keys() == {"model", "cache", "speedup"}
