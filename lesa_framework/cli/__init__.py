"""The `lesa` command: one file for each command, registered here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from lesa_framework.cli import bench, demo, eval, generate, inspection, plan, plugins, report, schema, train  # noqa: A004
from lesa_framework.cli.console import complain, warnings_as_notes
from lesa_framework.cli.threads import respect_quota
from lesa_framework.errors import LesaError

app = typer.Typer(
    name="lesa",
    help="Learned feature-cache predictors for diffusion transformers: train, swap and measure them.",
    epilog="Start with: lesa demo. Every command has help and an example: lesa eval --help",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.command)
app.command("generate")(generate.command)
app.command("eval")(eval.command)
app.command("bench")(bench.command)
app.command("report")(report.command)
app.command("train")(train.command)
app.command("plan")(plan.command)
app.command("inspect")(inspection.command)
app.command("plugins")(plugins.command)
app.command("schema")(schema.command)


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
    respect_quota()


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows `lesa`; the process's own arguments by default.

    Returns:
        The exit code: 0, 1 (failed) or 2 (bad input).
    """
    try:
        with warnings_as_notes():
            app(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except LesaError as error:
        complain(str(error))
        return 1 if type(error) is LesaError else 2  # errors about an input have a class of their own
    except OSError as error:
        complain(str(error))
        return 1
    return 0


def main() -> None:
    """The entry point of the `lesa` script."""
    sys.exit(run())
