"""The nodes: what they show, what they take, and the message for what they cannot take."""

from __future__ import annotations

import asyncio
import inspect
import json
import tomllib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch
import yaml
from packaging.requirements import Requirement

import lesa_framework as lesa
from lesa_framework import ModelInfo
from lesa_framework.artifacts import Artifact, ArtifactMetadata, save_artifact
from tests.integrations.comfyui import package

SPEEDUP = "by speed-up"


@pytest.fixture
def nodes(world):
    return package.part(world.package, "nodes")


@pytest.fixture
def folder(world, nodes, tmp_path, monkeypatch):
    """The folder of configurations."""
    monkeypatch.setattr(world.models_folder, "models_dir", str(tmp_path))
    monkeypatch.setattr(nodes, "register", lambda: None)
    nodes.comfy_entrypoint()
    folder = tmp_path / "lesa"
    folder.mkdir()
    monkeypatch.setattr(world.models_folder, "get_folder_paths", lambda name: [str(folder)] * (name == "lesa"))
    return folder


def write(file, **sections):
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(sections))


def inputs(node):
    return {each.id: each for each in node.GET_SCHEMA().inputs}


def run(world, node, patcher, cache=SPEEDUP, speedup=5.0, other="", steps=20):
    clone, runs = node.execute(patcher, cache, speedup, other).result
    return world.sample(clone, world.noise("flux"), world.sigmas(patcher, steps)), runs


def test_the_entry_point_names_the_nodes(world, folder):
    # In a thread of its own: browser tests leave an event loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        nodes = pool.submit(asyncio.run, world.package.comfy_entrypoint().get_node_list()).result()
    schemas = [node.GET_SCHEMA() for node in nodes]
    assert [schema.node_id for schema in schemas] == ["LESACache", "LESAReport"]
    for node, schema in zip(nodes, schemas, strict=True):
        assert set(inputs(node)) == set(inspect.signature(node.execute).parameters)
        assert schema.description


def test_the_list_has_the_files_of_the_folder(nodes, folder):
    write(folder / "fast.yaml", schedule={"kind": "always"}, predictor={"kind": "reuse"})
    write(folder / "trained" / "lesa.yaml", schedule={"kind": "always"}, predictor={"kind": "reuse"})
    (folder / "trained" / "lesa.safetensors").write_bytes(b"")
    (folder / "trained" / "next.checkpoint.safetensors").write_bytes(b"")
    write(
        folder / "shared" / "config.yaml",
        schedule={"kind": "always"},
        predictor={"kind": "fitted", "weights": "weights.safetensors"},
    )
    (folder / "shared" / "weights.safetensors").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    listed = [SPEEDUP, "fast.yaml", "shared/config.yaml", "trained/lesa.yaml"]
    assert inputs(nodes.LesaCache)["cache"].options == listed
    for lone in ("alone.safetensors", "shared/alone.safetensors"):
        (folder / lone).write_bytes(b"")
        assert lone in inputs(nodes.LesaCache)["cache"].options
    (folder / "fast.yaml").write_text("no: configuration")
    assert len(inputs(nodes.LesaCache)["cache"].options) == len(listed) + 2


def test_the_list_has_what_is_behind_links(nodes, folder, tmp_path):
    write(tmp_path / "elsewhere" / "deep.yaml", schedule={"kind": "always"}, predictor={"kind": "reuse"})
    (folder / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (folder / "linked" / "back").symlink_to(folder, target_is_directory=True)
    (folder / "one.yaml").symlink_to(folder / "linked" / "deep.yaml")
    assert inputs(nodes.LesaCache)["cache"].options == [SPEEDUP, "linked/deep.yaml", "one.yaml"]


def test_a_configuration_from_the_folder(world, nodes, folder):
    write(
        folder / "fast.yaml",
        schedule={"kind": "even", "speedup": 4},
        predictor={"kind": "reuse"},
        backbone={"kind": "flux", "tap": "output"},
    )
    _, runs = run(world, nodes.LesaCache, world.model("flux"), "fast.yaml")
    assert runs.text().startswith("20 steps, 5 computed (4.00x)")
    assert "flux at output" in runs.text()


def artifact(file, sigmas, blocks=(2, 2)):
    """Filters that repeat the newest feature, as fitted on diffusers' class of the same model."""
    steps, branches = len(sigmas) - 1, ["cond", "uncond"]
    shape = {"depth": 1, "reads": "own", "records": "computed"}
    model = ModelInfo(("FluxTransformer2DModel", "ModelMixin"), blocks, 32, "their names", (0.5,))
    metadata = ArtifactMetadata(
        kind="fitted",
        settings={"num_steps": steps, "computed": [0, 5, 10, 15], "branches": branches, **shape},
        sigmas=tuple(sigmas.tolist()),
        backbone="flux",
        tap="pre_head",
        models=(model,),
        config={
            "schedule": {"kind": "steps", "compute": [0, 5, 10, 15]},
            "predictor": {"kind": "fitted"},
            "backbone": {"kind": "auto", "tap": "pre_head"},
        },
    )
    weights = torch.ones(steps, len(branches), 1, 1, dtype=torch.float64)
    save_artifact(file, Artifact(metadata, {"weights": weights}))


def test_an_artifact_that_was_fitted_with_diffusers_is_used_as_it_is(world, nodes, folder):
    patcher, (kind, reuse) = world.model("flux"), ({"kind": "even", "speedup": 5}, {"kind": "reuse"})
    artifact(folder / "fitted.safetensors", world.sigmas(patcher, 20))
    write(folder / "plain" / "reuse.yaml", schedule=kind, predictor=reuse)
    fitted, runs = run(world, nodes.LesaCache, patcher, "fitted.safetensors")
    assert runs.text().startswith("20 steps, 4 computed (5.00x)")
    assert "  cond:   FPPPPFPPPPFPPPPFPPPP" in runs.text()
    assert torch.equal(fitted, run(world, nodes.LesaCache, patcher, "plain/reuse.yaml")[0])


@pytest.mark.parametrize(
    ("kind", "blocks", "words"),
    [
        ("qwen_image", (2, 2), "trained for backbone 'flux', but this model is 'qwen_image'"),
        ("flux", (19, 38), r"with 19\+38 blocks, but this model is Flux"),
    ],
    ids=["model", "size"],
)
def test_an_artifact_for_another_model_is_refused_by_the_node(world, nodes, folder, kind, blocks, words):
    patcher = world.model(kind)
    artifact(folder / "fitted.safetensors", world.sigmas(patcher, 20), blocks)
    with pytest.raises(lesa.ArtifactError, match=words):
        nodes.LesaCache.execute(patcher, "fitted.safetensors", 5.0)
    assert "forward" not in patcher.model.diffusion_model.__dict__


def test_an_artifact_for_another_number_of_steps_is_carried_over_with_a_warning(world, nodes, folder):
    patcher = world.model("flux")
    artifact(folder / "fitted.safetensors", world.sigmas(patcher, 20))
    clone, _ = nodes.LesaCache.execute(patcher, "fitted.safetensors", 5.0).result
    with pytest.warns(lesa.LesaWarning, match="fitted on a grid of 20 steps; this run's has 10"):
        world.sample(clone, world.noise("flux"), world.sigmas(patcher, 10))
    assert "forward" not in patcher.model.diffusion_model.__dict__


def test_an_unknown_file_is_one_clear_message(world, nodes, folder):
    with pytest.raises(lesa.ConfigError, match=r"no file 'gone.yaml' in models/lesa"):
        nodes.LesaCache.execute(world.model("flux"), "gone.yaml", 5.0)


@pytest.mark.parametrize(
    ("cache", "speedup", "other", "words"),
    [
        (SPEEDUP, 1.0, "", "speedup: 1.0 is not a number above 1"),
        (SPEEDUP, 5.0, "no-such-preset", "'no-such-preset' is neither a file nor a preset"),
        ("wrong.yaml", 5.0, "", "'lessa' is not a registered predictor"),
        ("other.yaml", 5.0, "", "backbone.kind: 'qwen_image' is for QwenImageTransformer2DModel and does not fit Flux"),
        ("tap.yaml", 5.0, "", "backbone.tap: 'post_norm' does not work on Flux"),
    ],
    ids=["speed-up", "name", "configuration", "model", "tap"],
)
def test_what_cannot_be_taken_is_told_where_it_was_chosen(world, nodes, folder, cache, speedup, other, words):
    even = {"kind": "even", "speedup": 4}
    write(folder / "wrong.yaml", schedule=even, predictor={"kind": "lessa"})
    write(folder / "other.yaml", schedule=even, predictor={"kind": "reuse"}, backbone={"kind": "qwen_image"})
    write(folder / "tap.yaml", schedule=even, predictor={"kind": "reuse"}, backbone={"tap": "post_norm"})
    with pytest.raises(lesa.LesaError) as error:
        nodes.LesaCache.execute(world.model("flux"), cache, speedup, other)
    assert words in str(error.value)


def test_a_model_that_is_not_known_is_one_clear_message(world, nodes, folder):
    patcher = world.model("flux")
    patcher.model.diffusion_model = torch.nn.Linear(2, 2)
    with pytest.raises(lesa.UnsupportedBackboneError, match="Linear: no backbone adapter fits this class"):
        nodes.LesaCache.execute(patcher, SPEEDUP, 5.0)


def test_a_preset_of_another_model_is_refused_before_a_step_is_predicted(world, nodes, folder):
    patcher = world.model("flux")
    with pytest.raises(lesa.ArtifactError, match=r"trained on FluxTransformer2DModel.*this model is Flux"):
        run(world, nodes.LesaCache, patcher, other="ref-flux-lesa-even10", steps=50)
    assert "forward" not in patcher.model.diffusion_model.__dict__


def test_two_caches_in_one_model_are_one_too_many(world, nodes, folder):
    patcher = world.model("flux")
    patcher.model_options["transformer_options"]["easycache"] = object()
    clone, _ = nodes.LesaCache.execute(patcher, SPEEDUP, 5.0).result
    with pytest.raises(lesa.LesaError, match="EasyCache or LazyCache, is in the same model"):
        world.sample(clone, world.noise("flux"), world.sigmas(patcher, 20))


def test_the_report_tells_the_last_runs(world, nodes, folder):
    clone, runs = nodes.LesaCache.execute(world.model("flux"), SPEEDUP, 5.0).result
    for steps in (10, 20):
        world.sample(clone, world.noise("flux"), world.sigmas(clone, steps))
    one, both = (nodes.LesaReport.execute(runs, None, last) for last in (1, 2))
    assert one.result[0].startswith("20 steps, 4 computed (5.00x)")
    assert both.result[0].startswith("10 steps, 2 computed (5.00x)")
    assert one.result[0] in both.result[0]
    assert one.ui.as_dict() == {"text": (one.result[0],)}


def test_a_file_that_changes_is_read_again(nodes, folder):
    file = folder / "fast.yaml"
    write(file, schedule={"kind": "always"}, predictor={"kind": "reuse"})
    fingerprint = nodes.LesaCache.fingerprint_inputs("fast.yaml", speedup=5.0, other="")
    assert fingerprint == (file.stat().st_mtime_ns,)
    for other in ("", None):
        assert nodes.LesaCache.fingerprint_inputs(SPEEDUP, speedup=5.0, other=other) == ()
    assert nodes.LesaCache.fingerprint_inputs(SPEEDUP, speedup=5.0, other=f" {file}") == fingerprint
    assert nodes.LesaCache.fingerprint_inputs(SPEEDUP, speedup=5.0, other="ref-flux-lesa-n7") == ()
    weights = folder / "fast.safetensors"
    weights.touch()
    write(file, schedule={"kind": "always"}, predictor={"kind": "fitted", "weights": "fast.safetensors"})
    times = tuple(each.stat().st_mtime_ns for each in (file, weights))
    assert nodes.LesaCache.fingerprint_inputs("fast.yaml", speedup=5.0, other="") == times


def test_a_folder_that_changes_is_read_again(nodes, tmp_path):
    def fingerprint():
        return nodes.LesaCache.fingerprint_inputs(SPEEDUP, speedup=5.0, other=str(tmp_path / "shared"))

    file, weights = (tmp_path / "shared" / name for name in ("config.yaml", "weights.safetensors"))
    assert fingerprint() == ()
    write(file, schedule={"kind": "always"}, predictor={"kind": "fitted", "weights": "weights.safetensors"})
    weights.touch()
    assert fingerprint() == (file.stat().st_mtime_ns, weights.stat().st_mtime_ns)
    file.unlink()
    assert fingerprint() == ()


def test_the_example_workflow_fits_the_nodes(world, nodes, folder):
    workflow = json.loads((package.FOLDER / "workflows" / "flux_api.json").read_text())
    found = {each["class_type"]: (name, each["inputs"]) for name, each in workflow.items()}
    assert set(found["LESACache"][1]) <= set(inputs(nodes.LesaCache))
    assert set(found["LESAReport"][1]) == set(inputs(nodes.LesaReport))
    cache = found["LESACache"][0]
    assert found["KSampler"][1]["model"] == [cache, 0]
    assert found["LESAReport"][1]["runs"] == [cache, 1]
    linked = [value for each in workflow.values() for value in each["inputs"].values() if isinstance(value, list)]
    assert all(name in workflow for name, _ in linked)


def test_the_package_asks_for_the_framework(world):
    text = (package.FOLDER / "pyproject.toml").read_text()
    wanted = tomllib.loads(text)["project"]["dependencies"]
    assert [Requirement(line).name for line in wanted] == ["lesa-framework"]
    assert (package.FOLDER / "requirements.txt").read_text().splitlines() == wanted, "ComfyUI-Manager reads this one"
    assert all(one < other for one, other in pairwise([0, text.index("[project]"), text.index("[tool.comfy]")]))
