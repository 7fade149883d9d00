"""A whole training in miniature, and what it can begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lesa_framework import ConfigError
from lesa_reference.sizes import SIZES, Backbone, Sizes
from lesa_reference.stages import RECIPES, Stages, load_denoiser

TINY = Sizes(heads=1, blocks=1, single_blocks=1)


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    monkeypatch.setitem(SIZES, Backbone.flux, TINY)
    torch.manual_seed(0)
    return Stages(Backbone.flux, tmp_path, 0, 64, 1, torch.device("cpu"))


def test_the_same_stages_resume_and_their_weights_can_be_continued(stages: Stages) -> None:
    vae = stages.vae(1)
    examples = stages.examples(vae)
    assert examples.latents.shape == (64, 8, 16, 16)
    assert examples.captions == stages.pool.captions
    average = stages.denoiser(examples, 2, None, None, compiled=False)

    again = Stages(Backbone.flux, stages.work, 0, 64, 1, torch.device("cpu"))
    same = again.examples(again.vae(1))
    assert torch.equal(same.latents, examples.latents.half().float())
    resumed = again.denoiser(same, 2, None, None, compiled=False)
    for name, tensor in average.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor)
    assert "pool" not in vars(again), "nothing had to be drawn or loaded again"

    raw = load_denoiser(Backbone.flux, stages.work / "raw.safetensors").state_dict()
    for name, tensor in load_file(stages.work / "raw.safetensors").items():
        assert tensor.dtype == torch.float16
        assert torch.equal(raw[name], tensor.float())
    assert any(not torch.equal(raw[name], tensor) for name, tensor in average.state_dict().items())


def test_weights_bring_their_own_sizes(tmp_path: Path) -> None:
    sizes = Sizes(heads=2, blocks=1, single_blocks=3)
    # Copies, because tied weights share memory.
    weights = {name: t.clone() for name, t in RECIPES[Backbone.flux].denoiser(sizes).state_dict().items()}
    path = tmp_path / "raw.safetensors"
    save_file(weights, path)
    assert Sizes.of(load_denoiser(Backbone.flux, path).state_dict()) == sizes
    with pytest.raises(ConfigError, match="of a qwen_image denoiser"):
        load_denoiser(Backbone.qwen_image, path)
    save_file({**weights, "transformer.proj_out.bias": torch.full((32,), torch.nan)}, path)
    with pytest.raises(ConfigError, match=r"proj_out\.bias' is not finite"):
        load_denoiser(Backbone.flux, path)
    save_file({"transformer.norm_out.linear.weight": torch.zeros(64, 32)}, path)
    with pytest.raises(ConfigError, match="is in only one of them"):
        load_denoiser(Backbone.flux, path)
    path.write_bytes(b"no")
    with pytest.raises(ConfigError, match="--continue-from"):
        load_denoiser(Backbone.flux, path)


def test_a_folder_without_a_vae_is_refused(stages: Stages, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="not the folder of a trained AutoencoderKL"):
        stages.load_vae(tmp_path / "empty")


def test_a_vae_is_not_looked_for_on_the_hub(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RECIPES[Backbone.flux].codec, "load", lambda folder: pytest.fail(f"{folder} was loaded"))
    with pytest.raises(ConfigError, match=r"OLD/vae: not the folder of .* there is no such folder"):
        stages.load_vae(Path("OLD/vae"))


def test_no_bar_is_drawn_into_a_file(stages: Stages, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(stages.pool.captions) == 64
    assert capsys.readouterr().err == ""
