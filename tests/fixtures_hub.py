"""A hub that is a folder, and a configuration with weights that may be pushed to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch

from lesa_framework.artifacts import Artifact, ArtifactMetadata, save_artifact
from lesa_framework.model_info import describe_model
from lesa_framework.types import Tap
from tests.fixtures_flux import Generate, MakePipeline


@pytest.fixture
def made(tmp_path: Path, make_flux: MakePipeline, generate: Generate) -> Path:
    """A configuration as `lesa train` writes it: weights for the tiny pipeline, with paths in its records."""
    sigmas: list[tuple[float, ...]] = []
    pipe = make_flux()
    generate(pipe)
    sigmas.append(tuple(pipe.scheduler.sigmas.tolist()))
    table = torch.eye(12).roll(1, 1).tril() + torch.eye(12)
    metadata = ArtifactMetadata(
        kind="l2p",
        settings={"num_steps": 12},
        sigmas=sigmas[0],
        backbone="flux",
        tap=Tap.OUTPUT,
        models=(describe_model(pipe.transformer, ("transformer_blocks", "single_transformer_blocks")),),
        config={"training": {"model": "/home/me/model", "prompts_file": "/home/me/prompts.txt"}},
        training={"drift_db": 21.5, "device": "my machine", "source": "their page", "licence": "MIT-like, see there"},
    )
    folder = tmp_path / "made"
    save_artifact(folder / "l2p.safetensors", Artifact(metadata, {"weights": table.tril()}))
    (folder / "mine.yaml").write_text(
        "schedule: {kind: even, compute: 4}\npredictor: {kind: l2p, weights: l2p.safetensors}\n"
        "backbone: {tap: output}\nengine: {history: {device: cpu}}\n"
        "training: {model: /home/me/model, prompts_file: /home/me/prompts.txt}\n"
    )
    return folder / "mine.yaml"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that is a folder."""
    root = tmp_path / "hub"

    class Api:
        def __init__(self, **_: Any) -> None: ...

        def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
            assert exist_ok
            (root / repo).mkdir(parents=True, exist_ok=True)
            (root / repo / "private").write_text(str(private))

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
            assert commit_message
            shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)
            return f"commit of {repo_id}"

    def download(repo: str, *, revision: str | None, allow_patterns: list[str], tqdm_class: Any) -> str:
        assert set(allow_patterns) == {"config.yaml", "weights.safetensors", "README.md"}
        assert revision in (None, "v1")
        assert tqdm_class(total=1).disable, "standard error is no terminal"
        return str(root / repo)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return root
