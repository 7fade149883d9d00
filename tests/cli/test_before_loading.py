"""What is downloaded from the hub is told before it is, and weights that do not fit into memory are, too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from lesa_framework.cli.before_loading import say_before_loading
from lesa_framework.pipelines import ModelSource


@dataclass(frozen=True)
class Found:
    filename: str
    file_size: int
    will_download: bool = True


FILES = [
    Found("whole.safetensors", 2**40),
    Found("transformer/model.safetensors", 3 * 2**30),
    Found("vae/model.safetensors", 2**30),
    Found("text_encoder/model.safetensors", 2**35, will_download=False),
]


def source(location: str) -> ModelSource:
    return ModelSource("owner/model", location, None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Repositories that the hub was asked for."""
    found: list[str] = []

    def download(
        repo: str, *, allow_patterns: list[str], ignore_patterns: list[str], dry_run: bool, tqdm_class: Any
    ) -> list[Found]:
        assert dry_run
        assert tqdm_class(total=1).disable
        assert allow_patterns == ["*/*.safetensors"]
        assert "*.fp16.*" in ignore_patterns
        found.append(repo)
        return FILES

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return found


def test_what_is_missing_of_a_model_on_the_hub_is_told(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lesa_framework.cli.machine.free_disk", lambda _: 4 * 2**30)
    monkeypatch.setattr("lesa_framework.cli.machine.free_memory", lambda _: 2**35)
    say_before_loading([source("owner/model")])
    told, note, memory = capsys.readouterr().err.splitlines()
    assert told == f"owner/model is downloaded first: about 4 GiB in {tmp_path}: weights 4 GiB; 4 GiB free"
    assert note.startswith(f"note: disk: about 4 GiB more are needed in {tmp_path}, and 4 GiB are free.")
    assert memory.startswith("note: memory: about 36 GiB more are needed on the CPU, and 32 GiB are free.")


def test_nobody_is_asked_for_a_folder(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say_before_loading([source(str(tmp_path))])
    assert (asked, capsys.readouterr().err) == ([], "")


def test_weights_in_a_folder_that_hardly_fit_are_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vae").mkdir()
    for name in ("whole.safetensors", "vae/model.safetensors", "vae/model.fp16.safetensors", "vae/config.json"):
        (tmp_path / name).write_bytes(bytes(2**20))
    monkeypatch.setattr("lesa_framework.cli.machine.free_memory", lambda _: 2**20)
    say_before_loading([source(str(tmp_path))])
    assert capsys.readouterr().err.startswith(
        "note: memory: about 1 MiB more are needed on the CPU, and 1 MiB are free"
    )


def test_a_hub_that_cannot_be_asked_is_no_reason_to_fail(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    say_before_loading([source("owner/model")])
    assert capsys.readouterr().err == ""
