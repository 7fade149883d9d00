"""A configuration and its weights into a folder or a repository, and back."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import yaml

from lesa_framework.artifacts import Artifact, load_artifact, save_artifact
from lesa_framework.building import build_strategy
from lesa_framework.config.loading import load_config, parse_config
from lesa_framework.config.repository import CARD, CONFIG, WEIGHTS, is_repo
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, LesaError, in_one_line, shortened
from lesa_framework.extras import HUB, check_installed
from lesa_framework.files import is_file, is_folder, read_text, write_text
from lesa_framework.hub.card import CardFacts, card_of, hub_name, is_card, registered_name
from lesa_framework.hub.paths import without_paths


def save_pretrained(config: LesaConfig, folder: str | Path, facts: CardFacts | None = None) -> Path:
    """Write a configuration, its weights and a model card into a folder.

    The folder is a configuration: `load_config`, `accelerate` and `--config` take it. Paths of this machine are left
    out of all three files; in place of a model's folder the configuration names `facts.base_model`, if that is given.

    Args:
        config: The configuration; its weights are read from where it names them.
        folder: Created when missing.
        facts: What the card says that the configuration does not know.

    Returns:
        The folder.

    Raises:
        ConfigError: The folder cannot be written, or has files of these names that are no feature cache's; or
            huggingface_hub is not installed.
        ArtifactError: The weights cannot be used.
        LesaError: The disk is full, for example; each file is written completely or not at all.
    """
    check_installed("save_pretrained", HUB)
    return _save(config, Path(folder), facts or CardFacts())


def _save(config: LesaConfig, target: Path, facts: CardFacts, name: str = "OWNER/NAME") -> Path:
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target}: this is a file. Name a folder.")
    _check_ours(target)
    raw, artifact = _portable(config)
    if facts.base_model and needs_model(config):
        raw["training"]["model"] = facts.base_model  # the folder is on this machine alone
    build_strategy(config)  # nothing is given away that cannot be used
    card = card_of(config, artifact, facts, name)
    parse_config(raw, target, config.name)
    if artifact is not None:
        save_artifact(target / WEIGHTS, artifact)
    write_text(target / CARD, card)
    write_text(target / CONFIG, yaml.safe_dump(raw, sort_keys=False, default_flow_style=None))
    return target


def _check_ours(folder: Path) -> None:
    """Refuse to replace files that no card of ours lies beside."""
    there = [name for name in (CARD, CONFIG, WEIGHTS) if (folder / name).exists()]
    if there and not ((folder / CARD).is_file() and is_card(read_text(folder / CARD))):
        raise ConfigError(
            f"{folder}: has a {there[0]} already, and no model card of a feature cache says that it may be replaced. "
            "Name a new folder."
        )


def from_pretrained(folder_or_repo: str | Path, *, revision: str | None = None) -> LesaConfig:
    """Read a configuration from a folder or a repository of the hub; its weights are beside it.

    Args:
        folder_or_repo: What `save_pretrained` wrote, or `owner/name` on the hub.
        revision: For a repository: a branch, a tag or a commit.

    Raises:
        ConfigError: There is none, the hub cannot be reached, the configuration is not valid, or a revision is asked
            for of what is on this machine.

    Example:
        ::

            config = lesa.from_pretrained("owner/flux-cache", revision="v1")
            with lesa.accelerate(pipe, config):
                ...
    """
    name = str(folder_or_repo)
    if revision is None:
        return load_config(name)
    if is_folder(Path(name)) or is_file(Path(name)):
        raise ConfigError(
            f"revision: '{shortened(name)}' is on this machine and has no revisions. Leave `revision` out, or name a "
            "repository."
        )
    return load_config(f"{name}@{revision}")


def push_to_hub(
    config: LesaConfig,
    repo: str,
    facts: CardFacts | None = None,
    *,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Upload a configuration, its weights and a model card to the hub; the repository is created when missing.

    Args:
        config: The configuration.
        repo: `owner/name`.
        facts: What the card says that the configuration does not know.
        private: Whether a new repository is private.
        token: Of the hub; by default that of `hf auth login`.

    Returns:
        The commit's address.

    Raises:
        ConfigError: The name is none, or huggingface_hub is not installed.
        LesaError: The hub refuses or cannot be reached.
        ArtifactError: The weights cannot be used.
    """
    check_installed("push_to_hub", HUB)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HTTPError,  # of httpx or httpx2, by the hub's version
        OfflineModeIsEnabled,
    )

    if not is_repo(repo) or "@" in repo:
        raise ConfigError(f"'{shortened(repo)}' is no repository. Repositories are named owner/name.")
    with tempfile.TemporaryDirectory() as folder:
        _save(config, Path(folder), facts or CardFacts(), repo)
        api = HfApi(token=token, library_name="lesa-framework")
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            done = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload a feature cache")
        except (OfflineModeIsEnabled, HfHubHTTPError, HTTPError, OSError) as error:
            raise LesaError(
                f"'{repo}': cannot be uploaded ({shortened(in_one_line(error))}). Log in with `hf auth login`, "
                "connect, or push to a folder."
            ) from error
    return str(done)


def needs_model(config: LesaConfig) -> bool:
    """Whether it was fitted to a model that only this machine can find: a folder, by whatever name."""
    model = config.training.model
    return model is not None and hub_name(model) is None and registered_name(model) is None


def _portable(config: LesaConfig) -> tuple[dict[str, Any], Artifact | None]:
    """The configuration as a file beside its weights, and these; without paths of this machine."""
    # Only what was set: a default that is spelt out would be compared with what the weights were trained with.
    raw: dict[str, Any] = config.model_dump(mode="json", exclude={"name"}, exclude_unset=True)
    for key, section in (("schedule", config.schedule), ("router", config.router), ("predictor", config.predictor)):
        raw[key] = {"kind": section.kind, **raw.get(key, {})}
    if "training" in raw:
        raw["training"] = without_paths(raw["training"])
    raw = _without_device(raw)
    weights = raw["predictor"].get("weights")
    if weights is None:
        return raw, None
    artifact = load_artifact(Path(weights), config.predictor.kind)
    # The file alone is a configuration too: where it says for none of the two what it is used with, it does now.
    alone = {} if {"schedule", "predictor"} <= artifact.metadata.config.keys() else copy.deepcopy(raw)
    alone.get("predictor", {}).pop("weights", None)
    raw["predictor"]["weights"] = WEIGHTS
    told = {
        **artifact.metadata.model_dump(),
        "config": _without_device({**without_paths(artifact.metadata.config), **alone}),
        "training": without_paths({k: v for k, v in artifact.metadata.training.items() if k != "device"}),
    }
    return raw, Artifact(type(artifact.metadata).model_validate(told), artifact.tensors)


def _without_device(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration that does not say where features are kept: that is of the machine, not of the cache."""
    match config:
        case {"engine": {"history": {"device": _, **history}, **engine}}:
            return {**config, "engine": {**engine, "history": history}}
    return config
