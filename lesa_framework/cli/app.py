"""The commands of `lesa`, each in a file of its own that is imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from lesa_framework.extras import BUNDLED, EXTRAS, install, is_installed

_RUN, _LOOK = "Commands that need the extra 'diffusers'", "Commands that need nothing more"
#: Extra -> what it is for.
_USES: Final = {
    "diffusers": "for the commands above that need it",
    "kan": "to train LESA's KANs",
    "bench": "for other libraries' caches in lesa bench",
    "metrics": "for LPIPS in lesa bench",
    "ui": "for lesa ui",
    "reference": "for lesa demo and the bundled models, reference:flux and others",
}
#: Command -> its module, the group that it is listed in, and the first line of its help: `lesa --help` shows them
#: without importing the module.
COMMANDS: Final = {
    "demo": (
        "demo",
        _RUN,
        "Make images with the bundled model, uncached and cached by four predictors, and compare them.",
    ),
    "generate": ("generate", _RUN, "Make images, cached or not."),
    "ui": ("ui", _RUN, "Serve a page to play with: a prompt, uncached beside cached, and a slider for the speed-up."),
    "eval": ("eval", _RUN, "Compare configurations on the same prompts and seeds."),
    "bench": ("bench", _RUN, "Compare the methods, schedules, models and peers that a file names."),
    "train": ("train", _RUN, "Train the predictor of a configuration."),
    "search": (
        "search",
        _RUN,
        "Search for the steps to compute within a budget, and fit the predictor to them.",
    ),
    "report": (
        "report",
        _RUN,
        "Make the page of a results file: one HTML file that needs no network.",
    ),
    "push": (
        "push",
        _RUN,
        "Write a configuration, its weights and a model card into a folder or a repository of the hub.",
    ),
    "plan": (
        "plan",
        _LOOK,
        "Print what a configuration does at each step: computed (F) or predicted (P), why, and with which weights.",
    ),
    "inspect": ("inspection", _LOOK, "Show what a weights file was trained for, how, and what is in it."),
    "import": (
        "importing",
        _LOOK,
        "Turn coefficients that others publish into a configuration, with weights where needed.",
    ),
    "plugins": (
        "plugins",
        _LOOK,
        "List what plugins add: schedules, routers, predictors, backbones, models, presets, peers and metrics.",
    ),
    "new": ("new", _LOOK, "Write a small package with one plugin, which passes its conformance kit as it is."),
    "check": ("check", _LOOK, "Run the conformance kits on everything that installed plugins registered."),
    "schema": (
        "schema",
        _LOOK,
        "Print the JSON schema of configuration files, plugins included; editors complete and check YAML with it.",
    ),
}


def _epilog() -> str:
    first = "lesa demo" if is_installed(BUNDLED) else f"{install('reference')}, and then: lesa demo"
    lines = [
        f"Start with: {first}. Every command has help and an example: lesa eval --help",
        *(f"{install(extra)}: {use}{_state(extra)}" for extra, use in _USES.items()),
    ]
    return "\n\n".join(lines)


def _state(extra: str) -> str:
    return " (installed here)" if all(map(is_installed, EXTRAS[extra])) else ""


def _imported(module: str) -> Any:
    """A command's module; on a terminal there is a word to read meanwhile, because torch takes seconds."""
    if not sys.stderr.isatty():
        return import_module(module)
    word = "loading"
    sys.stderr.write(f"{word}\r")
    sys.stderr.flush()
    try:
        return import_module(module)
    finally:
        sys.stderr.write(f"{' ' * len(word)}\r")
        sys.stderr.flush()


class _Commands(TyperGroup):
    """Commands that are imported when they are called."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, group, summary = COMMANDS[cmd_name]
        if self._listing:
            return TyperCommand(cmd_name, help=summary, rich_markup_mode="markdown", rich_help_panel=group)
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
        alone.command(cmd_name)(_imported(f"lesa_framework.cli.{module}").command)
        return get_command(alone)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing, self.epilog = True, _epilog()
        super().format_help(ctx, formatter)


app = typer.Typer(
    name="lesa",
    cls=_Commands,
    help="Learned feature-cache predictors for diffusion transformers: train, swap and measure them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("lesa-framework"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    from lesa_framework.cli.threads import respect_quota

    respect_quota()
