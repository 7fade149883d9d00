from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from lesa_framework import ArtifactError
from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint

leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=5)
states = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(state=st.dictionaries(st.text(max_size=5) | st.integers(0, 9), states, max_size=4))
def test_what_is_saved_is_loaded(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("checkpoint") / "c.safetensors"
    save_checkpoint(path, state)
    assert load_checkpoint(path) == state


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_tensors_of_every_sort(tmp_path, dtype, shape):
    tensor = torch.ones(shape).to(dtype)
    save_checkpoint(tmp_path / "c", {"deep": [{"tensor": tensor}]})
    loaded = load_checkpoint(tmp_path / "c")["deep"][0]["tensor"]
    assert loaded.dtype == dtype
    assert torch.equal(loaded, tensor)


def test_tensors_that_share_memory(tmp_path):
    base = torch.arange(6.0)
    save_checkpoint(tmp_path / "c", {"a": base, "b": base, "c": base[::2]})
    assert torch.equal(load_checkpoint(tmp_path / "c")["c"], base[::2])


@pytest.mark.parametrize("optimiser", [torch.optim.AdamW, torch.optim.SGD])
def test_an_optimiser_goes_on_as_if_nothing_had_happened(tmp_path, optimiser):
    def run(steps, resume_at=None):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = optimiser(model.parameters(), lr=0.1)
        for step in range(steps):
            if step == resume_at:
                save_checkpoint(tmp_path / "c", {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
                torch.manual_seed(1)
                model = nn.Linear(3, 2)
                optimizer = optimiser(model.parameters(), lr=0.9)
                state = load_checkpoint(tmp_path / "c")
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
            optimizer.zero_grad()
            model(torch.full((1, 3), float(step))).square().sum().backward()
            optimizer.step()
        return model.weight.detach()

    assert torch.equal(run(6, resume_at=3), run(6))


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(TypeError):
        save_checkpoint(path, {"step": object()})
    assert load_checkpoint(path) == {"step": 1}
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_checkpoints_of_one_stem_do_not_meet(tmp_path):
    save_checkpoint(tmp_path / "run.1", {"step": 1})
    save_checkpoint(tmp_path / "run.2", {"step": 2})
    assert load_checkpoint(tmp_path / "run.1") == {"step": 1}


@pytest.mark.parametrize("keep", [0, 9, -1])
def test_a_truncated_checkpoint(tmp_path, keep):
    path = tmp_path / "c"
    save_checkpoint(path, {"a": torch.zeros(9)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match=r"not a readable training checkpoint .* Delete it to start afresh"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "header",
    [None, {"skeleton": "{"}, {"skeleton": "[]"}, {"skeleton": '{"tensor": "0"}'}, {"skeleton": '{"what": 1}'}],
)
def test_a_file_that_is_no_checkpoint(tmp_path, header):
    save_file({}, tmp_path / "c", metadata=header)
    with pytest.raises(ArtifactError, match="not a readable training checkpoint"):
        load_checkpoint(tmp_path / "c")


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(ArtifactError, match="not a readable training checkpoint"):
        load_checkpoint(tmp_path / "none")


@pytest.mark.parametrize("depth", [500, 5_000, 100_000])
def test_a_state_that_is_nested_without_end_is_refused(tmp_path, depth):
    skeleton = '{"list": [' * depth + "]}" * depth
    save_file({}, tmp_path / "c.safetensors", metadata={"skeleton": skeleton})
    with pytest.raises(ArtifactError, match="not a readable training checkpoint"):
        load_checkpoint(tmp_path / "c.safetensors")
