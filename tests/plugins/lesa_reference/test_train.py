"""What the command refuses, before it draws or writes anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lesa_framework import ConfigError
from lesa_reference.captions import HELD_OUT_SEED
from lesa_reference.codec import PictureCodec
from lesa_reference.sizes import Backbone
from lesa_reference.train import main


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that nothing may be written to."""
    monkeypatch.setattr("lesa_reference.stages.draw_pool", lambda *_: pytest.fail("scenes were drawn"))
    return tmp_path / "out"


def test_weights_without_their_vae_are_refused(out: Path) -> None:
    with pytest.raises(typer.BadParameter, match="Add --vae"):
        main(Backbone.flux, out, continue_from=out / "raw.safetensors")
    assert not out.exists()


@pytest.mark.parametrize("device", ["gpu", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(out: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"--device {device}: not available on this machine"):
        main(Backbone.flux, out, device=device)
    assert not out.exists()


def test_files_that_are_not_there_are_refused(out: Path, tmp_path: Path) -> None:
    vae = tmp_path / "vae"
    with pytest.raises(ConfigError, match=r"vae: not the folder of a trained AutoencoderKL"):
        main(Backbone.flux, out, vae=vae)
    PictureCodec().new().save_pretrained(vae)
    with pytest.raises(ConfigError, match=r"--continue-from .*raw.safetensors: not the weights of a flux denoiser"):
        main(Backbone.flux, out, vae=vae, continue_from=tmp_path / "raw.safetensors")
    assert not out.exists()


def test_a_seed_of_held_out_scenes_is_refused(out: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    outcome = CliRunner().invoke(app, ["flux", "--out", str(out), "--seed", str(HELD_OUT_SEED)])
    assert outcome.exit_code == 2
    assert str(HELD_OUT_SEED - 1) in outcome.output, "the largest one is told"
    assert not out.exists()
