from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lesa_framework import LesaError
from lesa_reference.saving import is_whole, save_folder


def save(folder: Path) -> None:
    (folder / "vae").mkdir()
    save_file({"a": torch.zeros(2)}, folder / "vae" / "model.safetensors")
    (folder / "vae" / "config.json").write_text("{}")
    (folder / "model_index.json").write_text("{}")


def test_a_folder_is_saved_with_the_permissions_of_any_file(tmp_path: Path) -> None:
    save_folder(save, tmp_path / "deep" / "out")
    files = {str(path.relative_to(tmp_path / "deep" / "out")): path for path in tmp_path.rglob("*") if path.is_file()}
    assert sorted(files) == ["model_index.json", "vae/config.json", "vae/model.safetensors"]
    umask = os.umask(0)
    os.umask(umask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o666 & ~umask}
    assert is_whole(tmp_path / "deep" / "out")


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_folder_whose_saving_was_interrupted_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, earlier: bool
) -> None:
    if earlier:
        save_folder(save, tmp_path / "out")
        assert is_whole(tmp_path / "out")
        assert is_whole(tmp_path / "out" / "vae")
    written: list[Path] = []

    def stopped(path: Path, content: bytes) -> None:
        if len(written) == after:
            raise KeyboardInterrupt
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        written.append(path)

    monkeypatch.setattr("lesa_reference.saving.write_bytes", stopped)
    with pytest.raises(KeyboardInterrupt):
        save_folder(save, tmp_path / "out")
    assert not is_whole(tmp_path / "out")
    assert is_whole(tmp_path / "out" / "vae") == (after == 2), "its config.json is the second file"


def test_an_earlier_folder_stays_when_nothing_can_be_saved(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        save(folder)
        raise OSError("no space left")

    save_folder(save, tmp_path / "out")
    with pytest.raises(LesaError, match="cannot be written"):
        save_folder(fail, tmp_path / "out")
    assert is_whole(tmp_path / "out")


def test_what_cannot_be_saved_is_one_error(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise OSError("no space left")

    with pytest.raises(LesaError, match=r"out: cannot be written \(OSError: no space left\)\. Its files .* TMPDIR"):
        save_folder(fail, tmp_path / "out")
    assert not (tmp_path / "out").exists()
