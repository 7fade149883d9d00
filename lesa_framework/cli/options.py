"""Options that several commands share, and how they are read."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lesa_framework.automatic import prepare
from lesa_framework.call_arguments import check_finite
from lesa_framework.cli import console
from lesa_framework.config import fitted_for
from lesa_framework.config.reading import parse_argument
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, shortened
from lesa_framework.files import is_folder, read_prompts
from lesa_framework.generation import GenerationSettings
from lesa_framework.interfaces.paths import with_a_dot
from lesa_framework.limits import MAX_STEPS
from lesa_framework.pipelines import ModelSource, find_model

#: The panel of options that are arguments of the pipeline.
CALL = "Arguments of the pipeline"
#: What is run where nothing says otherwise.
_MODEL, _STEPS = "reference:flux", 50
#: The largest valid seed; there is room to count up from it.
MAX_SEED = 2**62
#: The longest side of a picture, in pixels.
MAX_SIDE = 2**16

Config = Annotated[
    str,
    typer.Option(
        "--config", "-c", metavar="FILE_OR_PRESET", help="A YAML file, a preset's name, or owner/name on the hub."
    ),
]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change the configuration: --set schedule.interval=5.")
]
Speedup = Annotated[
    float | None,
    typer.Option("--speedup", metavar="FACTOR", help="Instead of --config: steps over computed steps, such as 5."),
]
WeightsFolder = Annotated[
    Path | None,
    typer.Option("--weights", metavar="DIR", help="With --speedup: your fitted weights; by default $LESA_WEIGHTS."),
]
ModelOrFitted = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A registered model, a local diffusers folder, or a hub id; by default the configuration's "
        "training.model, or reference:flux.",
    ),
]
Model = Annotated[str, typer.Option("--model", "-m", help="A registered model, a local diffusers folder, or a hub id.")]
Steps = Annotated[int, typer.Option("--steps", help="Steps of the sampler, at least 2.")]
StepsOrFitted = Annotated[
    int | None,
    typer.Option("--steps", help="Steps of the sampler, at least 2; by default the configuration's, usually 50."),
]
Device = Annotated[str | None, typer.Option("--device", help="cuda or cpu; by default the GPU when there is one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Prompts = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        help="A text file with one prompt on each line. Without it, the file of the configuration's training section "
        "is taken, or a registered model draws some; a comparison prefers drawn ones.",
    ),
]
OutFile = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write to this file.")]

Height = Annotated[
    int | None, typer.Option("--height", min=8, max=MAX_SIDE, help="Height in pixels.", rich_help_panel=CALL)
]
Width = Annotated[
    int | None, typer.Option("--width", min=8, max=MAX_SIDE, help="Width in pixels.", rich_help_panel=CALL)
]
Guidance = Annotated[float | None, typer.Option("--guidance", help="guidance_scale.", rich_help_panel=CALL)]
TrueCfg = Annotated[float | None, typer.Option("--true-cfg", help="true_cfg_scale.", rich_help_panel=CALL)]
Negative = Annotated[str | None, typer.Option("--negative-prompt", help="Negative prompt.", rich_help_panel=CALL)]
Call = Annotated[
    list[str],
    typer.Option("--call", metavar="KEY=VALUE", help="Any other argument of the pipeline.", rich_help_panel=CALL),
]


def check_steps(steps: int) -> None:
    """Refuse runs of fewer than two steps, or of more than would ever end.

    Raises:
        ConfigError: Fewer than 2 steps, or too many.
    """
    if steps > MAX_STEPS:
        raise ConfigError(f"--steps {steps}: a run has at most {MAX_STEPS:,} steps; 50 is usual.")
    if steps < 2:
        raise ConfigError(f"--steps {steps}: a run needs at least 2 steps; 50 is usual.")


def check_speedup(speedup: float | None, weights: Path | None, config: str | None) -> None:
    """Refuse a speed-up that is none or that a configuration was given with, and a folder that is not there.

    Raises:
        ConfigError: There is one.
    """
    if speedup is not None and config is not None:
        raise ConfigError("--speedup: a configuration was given, too, which says what is computed. Give one of both.")
    if speedup is None and weights is not None:
        raise ConfigError("--weights: is where --speedup looks for weights; a --config names its own. Add --speedup 5.")
    if speedup is not None:
        prepare(speedup, weights)


def check_text(option: str, *texts: str) -> None:
    """Refuse bytes of the command line that are no UTF-8; Python hands them on as halves of characters.

    Raises:
        ConfigError: There are some.
    """
    for text in texts:
        if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ConfigError(f"{option} {shortened(text)}: is not UTF-8 text.")


def model_for(model: str | None, configs: Sequence[LesaConfig]) -> str:
    """The model to run: the given one, else the one that the configurations were fitted to, else the smallest.

    Raises:
        ConfigError: None is given, and the configurations were fitted to different ones, or to one that is not here.
    """
    if model is not None:
        return model
    named = fitted_for.model_of(configs)
    if named is None:
        return _MODEL
    try:
        find_model(named)
    except ConfigError as error:
        raise ConfigError(
            f"{error} The configuration names it as training.model, what it was fitted to: say with --model where that "
            "is on this machine."
        ) from error
    return named


def generation_settings(
    source: ModelSource,
    steps: int | None,
    *,
    configs: Sequence[LesaConfig] = (),
    height: int | None = None,
    width: int | None = None,
    guidance: float | None = None,
    true_cfg: float | None = None,
    negative_prompt: str | None = None,
    call: list[str] | None = None,
) -> GenerationSettings:
    """The model's own arguments, changed by those that the configurations were fitted with, and by what the user gave.

    Raises:
        ConfigError: There are too few steps, a `--call` is not KEY=VALUE, an argument is NaN or infinite, or the
            configurations were fitted with different arguments and the user gave none.
    """
    if steps is None:
        steps = fitted_for.steps_of(configs) or _STEPS
    check_steps(steps)
    check_text("--negative-prompt", negative_prompt or "")
    given = {
        "height": height,
        "width": width,
        "guidance_scale": guidance,
        "true_cfg_scale": true_cfg,
        "negative_prompt": negative_prompt,
    }
    ours = {key: value for key, value in given.items() if value is not None}
    for text in call or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--call {shortened(text)}: expected KEY=VALUE, for example max_sequence_length=128.")
        ours[key.strip()] = parse_argument(value, f"--call {shortened(text)}")
    models: dict[str, Any] = dict(source.named.call) if source.named else {}
    arguments = models | fitted_for.call_of(configs, ours) | ours
    check_finite(arguments)
    return GenerationSettings(num_steps=steps, call=arguments)


def remembering(
    config: LesaConfig, source: ModelSource, settings: GenerationSettings, prompts: Path | None, out: Path
) -> LesaConfig:
    """The configuration as it is written: it says how the pipeline was called, so that others can call it likewise.

    Args:
        config: What is fitted.
        source: The model.
        settings: How its pipeline is called.
        prompts: The file of its prompts, if they came from one.
        out: The folder that the configuration will be in; the file is named from there, and so is a relative folder
            of the model.
    """
    kept = {
        "model": _named_from(out.resolve(), source),
        "call": dict(settings.call),
        "prompts_file": prompts and _from(out.resolve(), prompts.resolve()),
    }
    return config.model_copy(update={"training": config.training.model_copy(update=kept)})


def _named_from(out: Path, source: ModelSource) -> str:
    """A model's name as a file of `out` has it: a relative folder begins with a dot, and counts from there."""
    folder = Path(source.name)
    if source.named is not None or folder.is_absolute() or not is_folder(folder):
        return source.name
    return with_a_dot(_from(out, folder))  # links stay: models are often linked from another disk


def _from(folder: Path, path: Path) -> Path:
    try:
        return Path(os.path.relpath(path, folder))
    except ValueError:  # on another drive
        return path.absolute()


def prompts_for(
    source: ModelSource, file: Path | None, configs: Sequence[LesaConfig], count: int, seed: int
) -> list[str]:
    """Prompts to compare on: those of a file, else drawn ones, else, with a note, those of the fit.

    Raises:
        ConfigError: There is no source of prompts, the configurations were fitted on different files of prompts, or the
            file cannot be read.
    """
    if file is not None:
        return read_prompts(file)
    fitted = prompts_of_fit(source, configs)
    if fitted is None:
        return draw_prompts(source, count, seed)
    console.note(
        f"the prompts are those of the fit, {os.path.normpath(fitted)}, with other seeds. Other prompts show better "
        "what a cache is worth: give a file of them with --prompts."
    )
    return read_prompts(fitted, "training.prompts_file")[:count]


def prompts_of_fit(source: ModelSource, configs: Sequence[LesaConfig]) -> Path | None:
    """The file of the fit's own prompts, where a comparison takes those; None where it draws others, or cannot.

    Raises:
        ConfigError: The configurations were fitted on different files of prompts.
    """
    drawn = source.named is not None and source.named.prompts is not None
    return None if drawn else fitted_for.prompts_file_of(configs)


def draw_prompts(source: ModelSource, count: int, seed: int, *, training: bool = False) -> list[str]:
    """Draw prompts for a registered model; those for training are never among the rest.

    Raises:
        ConfigError: The model has no source of prompts.
    """
    if source.named is None or source.named.prompts is None:
        raise ConfigError(
            f"--prompts: '{source.name}' has no source of prompts. Give a file with one prompt on each line."
        )
    return source.named.prompts(seed, count, training=training)


def first_prompt(source: ModelSource, configs: Sequence[LesaConfig], seed: int) -> list[str]:
    """A prompt to begin with: a drawn one, else the first of those that the configurations were fitted on.

    Raises:
        ConfigError: There is no source of prompts.
    """
    if source.named is not None and (source.named.demo_prompts or source.named.prompts):
        return demo_prompts(source, 1, seed)
    fitted = fitted_for.prompts_file_of(configs)
    if fitted is None:
        raise ConfigError(
            f"PROMPT: '{source.name}' has no source of prompts. Write what to draw: "
            f"{shlex.join(['lesa', 'generate', 'a red ring', '--model', source.name])}"
        )
    return read_prompts(fitted, "training.prompts_file")[:1]


def demo_prompts(source: ModelSource, count: int, seed: int) -> list[str]:
    """Draw prompts whose samples are easy to judge by eye; any held-out ones where the model has no such source.

    Raises:
        ConfigError: The model has no source of prompts.
    """
    if source.named is None or source.named.demo_prompts is None:
        return draw_prompts(source, count, seed)
    return source.named.demo_prompts(seed, count)
