from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lesa_framework import ArtifactError, ConfigError
from lesa_reference.started import content_of, start_or_resume

SETTINGS = {"seed": 0, "examples": 64, "vae": None}


def test_the_same_training_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    work = tmp_path / "work"
    start_or_resume(work, SETTINGS)
    assert json.loads((work / "started.json").read_text()) == SETTINGS
    start_or_resume(work, SETTINGS)
    message = f"{work} is of another training: it has seed 0, no vae, now seed 1, vae sha256:5. "
    with pytest.raises(ConfigError, match=re.escape(message + f"Name another --out, or delete {work}.")):
        start_or_resume(work, {**SETTINGS, "seed": 1, "vae": "sha256:5"})
    assert json.loads((work / "started.json").read_text()) == SETTINGS


def test_checkpoints_of_an_unknown_training_are_refused(tmp_path: Path) -> None:
    (tmp_path / "denoiser.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="does not say of which training it is"):
        start_or_resume(tmp_path, SETTINGS)
    assert not (tmp_path / "started.json").exists()


@pytest.mark.parametrize("text", ["", "5", "{", '["seed"]'])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "started.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"started.json: damaged .* Delete .* to train again"):
        start_or_resume(tmp_path, SETTINGS)


def test_files_count_by_what_they_hold(tmp_path: Path) -> None:
    for name, weights in (("one", b"a"), ("same", b"a"), ("other", b"b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    one, same, other = (content_of(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same != other
    file, moved = tmp_path / "one" / "model.safetensors", tmp_path / "moved"
    before = content_of(file)
    file.rename(moved)
    assert content_of(moved) == before != one
    assert content_of(None) is None
