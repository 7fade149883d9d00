"""Serves the page on this machine. Nothing is loaded from others, and nobody is told anything."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from tempfile import TemporaryDirectory
from typing import Final

from lesa_framework.errors import ConfigError
from lesa_framework.ui.methods import Method
from lesa_framework.ui.studio import Studio

#: The first port that is tried when none is given, and how many more are.
PORT: Final = 7860
_TRIES: Final = 100
_FONTS, _MONO = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
#: The tabulator key opens gradio's lists once more while it leaves them, over the fields below: they must not see it.
#: It is in the page's head, and so there before the first field: on a busy machine an event of the page comes later.
_TAB_LEAVES_LISTS: Final = """
<script>
document.addEventListener("keydown", event => {
  if (event.key === "Tab" && event.target.getAttribute("role") === "combobox") event.stopImmediatePropagation();
}, true);
</script>
"""


def free_port(host: str, port: int | None) -> int:
    """The port to serve on: the given one, else the first free one from 7860.

    Raises:
        ConfigError: It is taken, none is free, or the host is no address of this machine.
    """
    if not host:
        raise ConfigError("--host: is empty. Give 127.0.0.1 for this machine alone.")
    wanted = [port] if port is not None else range(PORT, PORT + _TRIES)
    for each in wanted:
        try:
            # Not `create_server`, which also takes ports of connections that have just ended; gradio does not.
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.bind((host, each))
                return each
        except PermissionError as error:
            raise ConfigError(f"--port {each}: may not be used by you. Give one from 1024.") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"--host {host}: is no address of this machine ({error.strerror or error}). Give 127.0.0.1 for "
                    "this machine alone, or 0.0.0.0 for all that can reach it."
                ) from error
    tried = f"--port {port}: is" if port is not None else f"--port: {PORT} to {PORT + _TRIES - 1} are all"
    raise ConfigError(f"{tried} in use. Give another one.")


@contextmanager
def served(
    studio: Studio, methods: Sequence[Method], steps: int, host: str, port: int, *, opens: bool = False
) -> Iterator[str]:
    """Serve the page in threads of its own, in the block; yields its address.

    Args:
        studio: Makes what it shows.
        methods: Those of its first model.
        steps: Steps of the sampler to begin with.
        host: The address to listen at.
        port: The port.
        opens: Open it in the user's browser.

    Raises:
        ConfigError: The port was taken in the meantime.
    """
    with TemporaryDirectory(prefix="lesa-ui-") as folder:
        # Gradio reads them while it is imported.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder, "HF_HUB_DISABLE_TELEMETRY": "1"}
        import gradio as gr

        from lesa_framework.ui.page import make_page

        page = make_page(studio, methods, steps)
        look = (files("lesa_framework.ui") / "assets" / "look.css").read_text("utf-8")
        theme = gr.themes.Default(primary_hue="teal", secondary_hue="teal", font=_FONTS, font_mono=_MONO).set(
            body_text_color_subdued="*neutral_600",
            body_text_color_subdued_dark="*neutral_300",
            block_info_text_color="*neutral_600",
            block_info_text_color_dark="*neutral_300",
        )
        try:
            page.launch(
                server_name=host, server_port=port, inbrowser=opens, prevent_thread_lock=True, quiet=True, share=False,
                theme=theme, css=look, head=_TAB_LEAVES_LISTS, footer_links=[], ssr_mode=False, enable_monitoring=False,
                max_threads=8, state_session_capacity=50,
            )  # fmt: skip
        except OSError as error:
            raise ConfigError(f"--port {port}: could not be served: {error}. Give another one.") from error
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            studio.close()
            # Open pages keep connections: the server would wait for them for seconds, or print each that it cuts.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            page.server.force_exit = True
            page.server.config.timeout_graceful_shutdown = 1  # from Python 3.12 on it waits for connections after that
            page.close(verbose=False)
