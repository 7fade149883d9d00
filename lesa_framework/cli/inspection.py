"""`lesa inspect`: what is in a weights file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from rich import box
from rich.table import Table
from rich.text import Text

from lesa_framework.artifacts import Artifact, ArtifactMetadata, load_artifact
from lesa_framework.cli import console, options
from lesa_framework.config.loading import load_config
from lesa_framework.errors import ConfigError
from lesa_framework.words import amount

#: Longest tensor whose values are shown.
_SHOWN = 32
#: On which prompts the decibels are that a fit ends with.
OF_THE_FIT: Final = "on its held-out prompts if it has some, else on those that it is fitted on"
#: What the training's decibels are of; all say how close the final latents are to the uncached run's.
_DECIBELS = {
    "drift_db": f"in the fit, {OF_THE_FIT}",
    "judged_db": "in the search's comparison, on other prompts than those of the fit",
    "even_db": "even steps, in the same comparison",
}


def command(
    weights: Annotated[
        str, typer.Argument(metavar="WEIGHTS_OR_PRESET", help="A .safetensors file, a YAML file or a preset.")
    ],
    as_json: options.AsJson = False,
) -> None:
    """Show what a weights file was trained for, how, and what is in it.

    Example: lesa inspect ref-flux-lesa-n7
    """
    path = weights_file(weights)
    artifact = load_artifact(path)
    if as_json:
        typer.echo(json.dumps({"file": str(path), **describe(artifact)}, indent=2))
        return
    show(path, artifact)


def weights_file(name: str) -> Path:
    """The weights that a weights file is, or that a configuration or preset names.

    Raises:
        ConfigError: It names none.
    """
    path = Path(name)
    if path.suffix == ".safetensors":
        return path
    predictor = load_config(name).predictor
    if predictor.weights_file is None:
        raise ConfigError(f"{name}: its predictor '{predictor.kind}' has no weights, so there is nothing to inspect.")
    return predictor.weights_file


def show(path: Path, artifact: Artifact) -> None:
    """Print an artifact for people."""
    screen = console.results()
    metadata = artifact.metadata
    screen.print(f"{path}", style="bold", soft_wrap=True)
    screen.print(
        f"predictor {metadata.kind}, for backbone {metadata.backbone} at tap {metadata.tap}, "
        f"{len(metadata.sigmas) - 1} steps from sigma {metadata.sigmas[0]:.4g} to {metadata.sigmas[-2]:.4g}",
        soft_wrap=True,
    )
    screen.print(f"trained on {_trained_on(metadata)}", soft_wrap=True)
    for title, content in (
        ("settings", metadata.settings),
        ("training", metadata.training),
        ("config", metadata.config),
    ):
        if content:
            screen.print(f"\n{title}", style="bold")
            screen.print(yaml.safe_dump(content, sort_keys=False, default_flow_style=None).rstrip(), soft_wrap=True)
    for line in _decibels(metadata.training):
        screen.print(line, style="dim", soft_wrap=True)
    screen.print(_table(artifact))


def _decibels(training: Mapping[str, Any]) -> list[str]:
    """What each of the training's decibels is of: they are measured on different prompts."""
    search = training.get("search")
    known = {**training, **(search if isinstance(search, dict) else {})}
    return [f"{key}: {words}" for key, words in _DECIBELS.items() if known.get(key) is not None]


def describe(artifact: Artifact) -> dict[str, Any]:
    """Metadata and tensors as JSON values."""
    tensors = {
        name: {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
        for name, tensor in artifact.tensors.items()
    }
    return {"metadata": artifact.metadata.model_dump(mode="json"), "tensors": tensors}


def _trained_on(metadata: ArtifactMetadata) -> str:
    models = " and ".join(map(str, metadata.models)) or "an unknown model, so it is not compared with yours"
    inputs = f", inputs of {'x'.join(map(str, metadata.latent_shape))}" if metadata.latent_shape else ""
    guidance = f", guidance {metadata.guidance:g}" if metadata.guidance is not None else ""
    return f"{models}{inputs}{guidance}"


def _table(artifact: Artifact) -> Table:
    total = sum(tensor.numel() for tensor in artifact.tensors.values())
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{amount(len(artifact.tensors), 'tensor')}, {total:,} numbers",
        title_justify="left",
    )
    for heading in ("tensor", "shape", "dtype", "from", "to", "values"):
        table.add_column(heading, overflow="fold")
    for name, tensor in sorted(artifact.tensors.items()):
        numbers = tensor.double().flatten()
        values = " ".join(f"{value:.4g}" for value in numbers.tolist()) if 0 < numbers.numel() <= _SHOWN else ""
        low, high = (f"{numbers.min():.4g}", f"{numbers.max():.4g}") if numbers.numel() else ("", "")
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        table.add_row(Text(name), shape, str(tensor.dtype).removeprefix("torch."), low, high, values)
    return table
