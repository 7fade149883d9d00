from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from lesa_framework import ArtifactError, LesaError, ModelInfo, Tap
from lesa_framework.artifacts import Artifact, ArtifactMetadata, load_artifact, save_artifact
from lesa_framework.artifacts.metadata import SCHEMA_VERSION
from lesa_framework.testing import even_grid

GRID = even_grid(10)


def metadata(**changes: Any) -> ArtifactMetadata:
    plain = {"kind": "lesa", "settings": {"depth": 3}, "sigmas": GRID, "backbone": "flux", "tap": Tap.PRE_HEAD}
    return ArtifactMetadata(**{**plain, **changes})


def artifact(**changes: Any) -> Artifact:
    return Artifact(metadata(**changes), {"taps": torch.arange(6.0).view(2, 3)})


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "weights.safetensors"
    save_artifact(file, artifact())
    return file


def refused(path, kind=None) -> str:
    with pytest.raises(ArtifactError) as caught:
        load_artifact(path, kind)
    message = str(caught.value)
    assert str(path) in message
    return message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool])

numbers = st.none() | st.floats(-9, 9)
models = st.builds(
    ModelInfo,
    classes=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    blocks=st.lists(st.integers(0, 9), max_size=2).map(tuple),
    width=st.none() | st.integers(1, 9),
    names=st.text(max_size=5),
    sample=st.lists(numbers, max_size=4).map(tuple),
)


@given(
    settings=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    sigmas=st.lists(st.floats(0, 1), min_size=2, max_size=6).map(tuple),
    models=st.lists(models, max_size=2).map(tuple),
    latent_shape=st.none() | st.lists(st.integers(0, 3), max_size=3).map(tuple),
    guidance=st.none() | st.floats(0, 9),
    tap=st.sampled_from(Tap),
    shapes=st.dictionaries(
        st.text("abc.0", min_size=1, max_size=5), st.lists(st.integers(0, 3), max_size=3), max_size=4
    ),
    dtype=dtypes,
)
def test_what_is_saved_is_loaded(tmp_path_factory, settings, tap, shapes, dtype, **known):
    file = tmp_path_factory.mktemp("artifact") / "w.safetensors"
    tensors = {name: torch.randint(0, 2, shape).to(dtype) for name, shape in shapes.items()}
    saved = Artifact(metadata(settings=settings, tap=tap, **known), tensors)
    save_artifact(file, saved)
    loaded = load_artifact(file, "lesa")
    assert loaded.metadata == saved.metadata
    assert loaded.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded.tensors[name].dtype == dtype
        assert torch.equal(loaded.tensors[name], tensor)


def test_folders_are_made_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "deep" / "er" / "w.safetensors"
    save_artifact(file, artifact())
    assert [found.name for found in file.parent.iterdir()] == ["w.safetensors"]


def test_tensors_that_share_memory_or_have_gaps(tmp_path):
    file, base = tmp_path / "w.safetensors", torch.arange(6.0)
    save_artifact(file, Artifact(metadata(), {"all": base, "odd": base[1::2], "same": base, "t": base.view(2, 3).t()}))
    loaded = load_artifact(file).tensors
    assert torch.equal(loaded["odd"], base[1::2])
    assert torch.equal(loaded["t"], base.view(2, 3).t())


def test_a_failed_save_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LesaError, match=r"cannot be written \(No space left on device\)"):
        save_artifact(path, artifact())
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_the_header_is_plain_json(path):
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["lesa"])
    assert header["schema_version"] == SCHEMA_VERSION
    assert header["tap"] == "pre_head"


# ----------------------------------------------------------------------------------- files that are refused
def test_a_missing_file(tmp_path):
    assert "no such weights file. Check the path " in refused(tmp_path / "none.safetensors")


def test_a_folder(tmp_path):
    assert "no such weights file" in refused(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 8, 40, 200, -1])
def test_a_truncated_file(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    assert "damaged or not a safetensors file" in refused(path)


def test_a_file_of_another_sort(path):
    path.write_bytes(b"PK\x03\x04 a zip file, say a pickle" * 100)
    assert "damaged or not a safetensors file" in refused(path)


@pytest.mark.parametrize("header", [None, {"format": "pt"}])
def test_weights_that_are_not_ours(path, header):
    save_file({"a": torch.zeros(1)}, path, metadata=header)
    assert "not one that `lesa train` wrote" in refused(path)


@pytest.mark.parametrize("header", ["{", "[]", "{}", '{"kind": "lesa"}', '{"kind": 5, "what": 1}'])
def test_metadata_that_is_damaged(path, header):
    save_file({"a": torch.zeros(1)}, path, metadata={"lesa": header})
    assert "its metadata is damaged" in refused(path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("sigmas", [1.0], "sigmas: Tuple should have at least 2 items"),
        ("sigmas", [1.0, "x" * 9999], "sigmas.1: Input should be a valid number"),
        ("tap", "middle", "tap: Input should be"),
        ("models", [{"classes": ["A"]}], "models.0.blocks: Field required"),
        ("latent_shape", 4, "latent_shape: Input should be a valid tuple"),
    ],
)
def test_metadata_with_a_wrong_value(path, key, value, words):
    header = {**metadata().model_dump(mode="json"), key: value}
    save_file({"a": torch.zeros(1)}, path, metadata={"lesa": json.dumps(header)})
    assert words in refused(path)
    assert len(refused(path)) < 400


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("key", ["sigmas", "training"])
def test_metadata_with_numbers_that_are_none(path, key, number):
    header = json.dumps({**metadata().model_dump(mode="json"), key: "HERE"})
    value = {"sigmas": f"[1.0, {number}]", "training": f'{{"drift_db": {number}}}'}[key]
    save_file({"a": torch.zeros(1)}, path, metadata={"lesa": header.replace('"HERE"', value)})
    assert "its metadata is damaged" in refused(path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_weights_that_are_not_finite(path, value, dtype):
    save_artifact(path, Artifact(metadata(), {"fine": torch.zeros(2), "gains": torch.tensor([0, value], dtype=dtype)}))
    assert "'gains' has numbers that are not finite" in refused(path)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64])
def test_weights_of_odd_dtypes(path, dtype):
    save_artifact(path, Artifact(metadata(), {"gains": torch.zeros(2).to(dtype)}))
    assert f"'gains' is of {dtype}" in refused(path)


def test_files_of_the_first_schema_are_read(path):
    first = metadata(schema_version=1).model_dump(mode="json", exclude={"models", "latent_shape", "guidance"})
    save_file({"a": torch.zeros(1)}, path, metadata={"lesa": json.dumps(first)})
    read = load_artifact(path).metadata
    assert (read.schema_version, read.models, read.latent_shape, read.guidance) == (1, (), None, None)


def test_a_name_that_no_file_can_have(tmp_path):
    assert "damaged or not a safetensors file" in refused(tmp_path / ("w" * 300))


def test_another_schema_version(path):
    save_artifact(path, artifact(schema_version=SCHEMA_VERSION + 1))
    assert f"has schema version {SCHEMA_VERSION + 1}, this version reads up to {SCHEMA_VERSION}" in refused(path)


def test_a_later_schema_with_more_fields_is_refused_as_such(path):
    later = {**metadata(schema_version=SCHEMA_VERSION + 1).model_dump(mode="json"), "licence": "MIT"}
    save_file({"a": torch.zeros(1)}, path, metadata={"lesa": json.dumps(later)})
    assert f"has schema version {SCHEMA_VERSION + 1}" in refused(path)


def test_weights_of_another_predictor(path):
    assert "holds weights of 'lesa', not of 'other'. Set predictor.kind to match" in refused(path, "other")
