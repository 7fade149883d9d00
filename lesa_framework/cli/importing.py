"""`lesa import`: coefficients that others publish, as a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
import yaml

from lesa_framework.artifacts import save_artifact
from lesa_framework.cli import console, files, options
from lesa_framework.config.loading import parse_config
from lesa_framework.errors import ConfigError, did_you_mean, shortened
from lesa_framework.files import read_bytes, read_text, write_text
from lesa_framework.interfaces.config import PluginConfig
from lesa_framework.interfaces.published import Imported, Published
from lesa_framework.plugin.manager import plugins
from lesa_framework.types import Tap

#: The most characters that are read; a table for 50 steps has 35,000.
_LARGEST: Final = 4 * 2**20


def command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The predictor or schedule that they are for.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The file that was published.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(metavar="CONFIG.yaml", help="Where to write the configuration.")] = Path(
        "imported.yaml"
    ),
    values: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="The numbers themselves, in place of a file.")
    ] = None,
    source: Annotated[str, typer.Option(help="Where they come from, for the record.")] = "",
    licence: Annotated[str, typer.Option(help="Their licence, for the record.")] = "",
    backbone: Annotated[
        str | None,
        typer.Option(
            help="For weights: the backbone of the model they were made for; by default flux, or for LESA's weights "
            "with experts for two branches qwen_image."
        ),
    ] = None,
    tap: Annotated[
        Tap | None,
        typer.Option(help="For weights: the tap they were made for; by default their authors' for the backbone."),
    ] = None,
    shift: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=100,
            help="For weights: shift of the linear grid they were made for; by default that of their authors' model.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="For weights: the model they were made for, for the record.")
    ] = None,
) -> None:
    """Turn coefficients that others publish into a configuration, with weights where needed.

    What is read is data: nothing in it is run. Source and licence are kept with the numbers.

    Example: lesa import l2p weight.txt --out l2p.yaml --licence "FLUX.1-dev Non-Commercial"
    """
    config = _importer(kind)
    options.check_text("--source", source)
    options.check_text("--licence", licence)
    if out.suffix not in {".yaml", ".yml"}:
        raise ConfigError(f"--out {out}: name a .yaml file.")
    inputs = [] if file is None else [file]
    _check_new(out, inputs)
    options.check_text("--model", model or "")
    if backbone is not None:
        plugins().registry.backbones.get(backbone)  # refuses one that is not there
    published = Published("", "", source, licence, backbone, tap, shift, model)
    imported = config.read_published(_given(published, file, values, as_bytes=config.imports_bytes))
    unused = {"--backbone": backbone, "--tap": tap, "--shift": shift, "--model": model}
    if imported.artifact is None and any(value is not None for value in unused.values()):
        names = ", ".join(name for name, value in unused.items() if value is not None)
        raise ConfigError(f"{names}: only for weights, and '{kind}' has none. Leave it out.")
    _write(imported, out, inputs)
    if imported.note:
        console.note(imported.note)
    if missing := [f"no {name}" for name, value in (("--source", source), ("--licence", licence)) if not value]:
        lacks = "it" if len(missing) == 1 else "both"
        console.note(f"{' and '.join(missing)} was given, so the record of the numbers lacks {lacks}.")


def _importer(kind: str) -> type[PluginConfig]:
    """The configuration class of a kind that imports something."""
    registry = plugins().registry
    sections: tuple[dict[str, type[PluginConfig]], ...] = (
        dict(registry.predictors.items()),
        dict(registry.schedules.items()),
    )
    found = {name: config for section in sections for name, config in section.items() if config.imports()}
    if kind not in found:
        near = did_you_mean(kind, found)
        raise ConfigError(f"'{shortened(kind)}' imports nothing. Kinds that do: {', '.join(sorted(found))}.{near}")
    return found[kind]


def _given(published: Published, file: Path | None, values: str | None, *, as_bytes: bool) -> Published:
    """With the content, and what to call it."""
    if as_bytes:
        if file is None or values is not None:
            raise ConfigError("give the file that was published: these weights cannot be given as --values.")
        return replace(published, name=str(file), content=read_bytes(file))
    if (file is None) == (values is None):
        raise ConfigError("give either a file or --values, such as --values '1.2, -0.5, 0.1'.")
    if file is None:
        assert values is not None
        options.check_text("--values", values)
        text, name = values, "--values"
    else:
        text, name = read_text(file), str(file)
    if len(text) > _LARGEST:
        raise ConfigError(f"{name}: has {len(text):,} characters; at most {_LARGEST:,} are read.")
    return replace(published, text=text, name=name)


def _check_new(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse a file that is there: it may be a fit of hours, or have settings that were tuned by hand."""
    files.check_out_file(path, inputs=inputs)
    if path.exists():
        raise ConfigError(f"{path}: exists. Delete it or name another --out.")


def _write(imported: Imported, out: Path, inputs: Sequence[Path]) -> None:
    raw = {section: dict(settings) for section, settings in imported.config.items()}
    weights = out.with_suffix(".safetensors")
    if imported.artifact is not None:
        _check_new(weights, inputs)
        raw["predictor"]["weights"] = weights.name
    parse_config(raw, out.parent, out.stem)  # what it says is valid before anything is written
    if imported.artifact is not None:
        save_artifact(weights, imported.artifact)
        console.announce(f"wrote {weights}")
    write_text(out, yaml.safe_dump(raw, sort_keys=False, default_flow_style=None))
    console.announce(f"wrote {out}")
