"""What the command refuses before it draws or writes anything, and how it goes on in a used folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lesa_framework import ConfigError
from lesa_reference.captions import HELD_OUT_SEED
from lesa_reference.codec import PictureCodec
from lesa_reference.sizes import SIZES, Backbone, Sizes
from lesa_reference.train import main

SMALL: dict[str, Any] = {"vae_steps": 1, "examples": 64, "workers": 1, "steps": 1, "score_steps": 0, "device": "cpu"}


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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a training of one step. By its clock, a step takes 300 seconds."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lesa_reference.trainer.perf_counter", partial(next, count(0.0, 300.0)))
        patch.setitem(SIZES, Backbone.flux, Sizes(heads=1, blocks=1, single_blocks=1))
        main(Backbone.flux, folder, **SMALL)
        yield folder


def test_a_used_folder_goes_on_with_the_same_training_alone(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    main(Backbone.flux, trained, **SMALL)
    assert "nothing is left to do" in capsys.readouterr().err
    for other in ({"seed": 1}, {"examples": 65}, {"vae_steps": 2}, {"vae": trained / "vae"}):
        with pytest.raises(ConfigError, match=r"work is of another training: .* or delete "):
            main(Backbone.flux, trained, **(SMALL | other))
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_a_training_gets_longer_and_never_shorter(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(trained, tmp_path / "copy")
    for length, said in (
        ({"steps": 2}, "resuming after step 1, 50% are left"),
        ({"steps": 1}, "nothing is left to train: 2 of 1 steps are done"),
        ({"seconds": 400}, "nothing is left to train: 600 of 400 seconds are done"),
        ({"seconds": 900}, "resuming after step 2, 33% are left"),
    ):
        main(Backbone.flux, out, **(SMALL | length))
        assert f"denoiser: {said}" in capsys.readouterr().err
