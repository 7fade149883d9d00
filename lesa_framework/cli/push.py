"""`lesa push`: a configuration with its weights and a model card, for others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from lesa_framework.cli import console, files, options
from lesa_framework.config.loading import load_config
from lesa_framework.config.repository import CARD, CONFIG, WEIGHTS, is_repo
from lesa_framework.errors import ConfigError, shortened
from lesa_framework.extras import HUB, check_installed
from lesa_framework.files import expanded
from lesa_framework.hub.card import CardFacts
from lesa_framework.hub.saving import needs_model, push_to_hub, save_pretrained


def command(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A folder, a YAML file, weights or a preset.")],
    target: Annotated[
        str, typer.Argument(metavar="REPO_OR_FOLDER", help="owner/name on the hub, or a folder such as ./mine.")
    ],
    base_model: Annotated[
        str | None, typer.Option("--base-model", metavar="OWNER/NAME", help="The model on the hub that it is for.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the numbers, such as apache-2.0.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME=NUMBER", help="A row of the card's measurements.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(metavar="RESULTS.json", help="What `lesa eval` measured of it, for the card.", show_default=False),
    ] = None,
    row: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its name in --results; by default the configuration's.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
) -> None:
    """Write a configuration, its weights and a model card into a folder or a repository of the hub.

    A target that exists as a folder, or begins with a dot, a slash or a tilde, is a folder; no network is used then.

    Example: lesa push out/config.yaml owner/flux-cache --base-model black-forest-labs/FLUX.1-dev --results results.json
    """
    check_installed("lesa push", HUB)
    if not target.strip():
        raise ConfigError("REPO_OR_FOLDER: is empty. Name a folder, such as ./flux-cache, or owner/name on the hub.")
    options.check_text("--licence", licence or "", base_model or "", row or "", *(metric or ()))
    if row is not None and results is None:
        raise ConfigError(f"--row {shortened(row)}: names a row of a results file. Give the file with --results.")
    facts = CardFacts(base_model, licence, dict(map(_metric, metric or ())), results, row)
    if base_model is not None and not is_repo(base_model):
        raise ConfigError(f"--base-model {shortened(base_model)}: models of the hub are named owner/name.")
    folder = expanded(target)
    on_hub = is_repo(target) and not folder.is_dir()
    if private and not on_hub:
        raise ConfigError(
            f"--private: only repositories of the hub are private, and {shortened(target)} is a folder. Leave it "
            "out, or name owner/name."
        )
    settings = load_config(config)
    if base_model is None and needs_model(settings):
        console.note(
            f"it was fitted to a folder of this machine, '{Path(str(settings.training.model)).name}': others have to "
            "give --model. If that model is on the hub, name it with --base-model."
        )
    if on_hub:
        console.results().print(push_to_hub(settings, target, facts, private=private), soft_wrap=True)
        return
    weights = settings.predictor.weights_file
    inputs = [Path(each) for each in (config, Path(config) / CONFIG, weights, results) if each is not None]
    files.check_out_folder(folder, (CONFIG, WEIGHTS, CARD), "REPO_OR_FOLDER", inputs)
    save_pretrained(settings, folder, facts)
    console.announce(f"wrote {folder}")


def _metric(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not name.strip() or not math.isfinite(number):
        raise ConfigError(f"--metric {shortened(text)}: expected NAME=NUMBER, such as LPIPS=0.32.")
    return name.strip(), number
