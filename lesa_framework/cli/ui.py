"""`lesa ui`: a page to play with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from lesa_framework.automatic import DEFAULT_SPEEDUP
from lesa_framework.cli import console, options, stopping
from lesa_framework.errors import ConfigError
from lesa_framework.extras import PIPELINE, check_installed, install
from lesa_framework.pipelines import ModelSource, find_model
from lesa_framework.plugin.manager import plugins
from lesa_framework.ui.server import PORT, free_port, served
from lesa_framework.ui.studio import Offered, Studio

_LOCAL = "127.0.0.1"


def command(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A local diffusers folder or a hub id, beside the bundled models."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 lets other machines in.")] = _LOCAL,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help=f"The port; by default the first free one from {PORT}.")
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
    steps: options.Steps = 50,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="DIR", help="Your fitted weights; by default $LESA_WEIGHTS."),
    ] = None,
    device: options.Device = None,
    height: options.Height = None,
    width: options.Width = None,
    guidance: options.Guidance = None,
    true_cfg: options.TrueCfg = None,
    negative_prompt: options.Negative = None,
    call: options.Call = [],  # noqa: B006 - typer copies it
) -> None:
    """Serve a page to play with: a prompt, uncached beside cached, and a slider for the speed-up.

    It needs no network, and only this machine reaches it unless --host says otherwise. One run at a time: a second
    visitor waits. The arguments of the pipeline are those of --model.

    Example: lesa ui --open
    """
    check_installed("lesa ui", PIPELINE)
    check_installed("lesa ui", ("gradio",), "ui")
    with console.warnings_as_notes():
        options.check_speedup(DEFAULT_SPEEDUP, weights, None)
    given = {
        "--height": height, "--width": width, "--guidance": guidance, "--true-cfg": true_cfg,
        "--negative-prompt": negative_prompt, "--call": call or None,
    }  # fmt: skip
    unused = [name for name, value in given.items() if value is not None]
    if model is None and unused:
        raise ConfigError(f"{unused[0]}: is for your --model, and none was given; the bundled models have their own.")
    first = [] if model is None else [find_model(model)]
    sources = [*first, *(find_model(name) for name in plugins().registry.models.names() if name != model)]
    if not sources:
        raise ConfigError(
            "lesa ui: there is no model to show. Name one of yours with --model, or install the bundled ones: "
            f"{install('reference')}"
        )
    options.check_steps(steps)
    offered = [_offered(source, steps) for source in sources]
    if model is not None:
        settings = options.generation_settings(
            sources[0], steps, height=height, width=width, guidance=guidance, true_cfg=true_cfg,
            negative_prompt=negative_prompt, call=call,
        )  # fmt: skip
        offered[0] = Offered(sources[0], settings.call)
    port = free_port(host, port)
    console.announce(f"loading {sources[0].name}")
    studio = Studio(offered, weights, device)
    methods = studio.methods(sources[0].name, steps)
    with (
        stopping.advice_when_stopped(lambda: "stopped. The page is closed."),
        served(studio, methods, steps, host, port, opens=opens) as address,
    ):
        if host != _LOCAL:
            console.note(f"whoever reaches this machine at {host} can use the page; it asks for no password.")
        try:
            console.announce(f"the page is at {address}  (Ctrl-C ends it)")
            while True:
                time.sleep(1)  # on Windows, Ctrl-C ends no wait without an end
        except (stopping.Stopped, KeyboardInterrupt):
            console.announce("stopping ...")  # a step of a large model takes a while
            raise


def _offered(source: ModelSource, steps: int) -> Offered:
    return Offered(source, options.generation_settings(source, steps).call)
