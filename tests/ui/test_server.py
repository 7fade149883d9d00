from __future__ import annotations

import socket

import pytest

from lesa_framework.errors import ConfigError
from lesa_framework.ui import server
from lesa_framework.ui.server import free_port


def test_the_port_is_the_given_one_or_the_first_free_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(server, "PORT", port)
        assert port < free_port("127.0.0.1", None) < port + 100
        with pytest.raises(ConfigError, match=rf"^--port {port}: is in use\. Give another one\.$"):
            free_port("127.0.0.1", port)
        monkeypatch.setattr(server, "_TRIES", 1)
        with pytest.raises(ConfigError, match=rf"^--port: {port} to {port} are all in use"):
            free_port("127.0.0.1", None)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_this_machine(host: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--host {host}: is no address of this machine .* Give 127\.0\.0\.1"):
        free_port(host, 7860)


def test_an_empty_host_does_not_mean_every_address() -> None:
    with pytest.raises(ConfigError, match=r"^--host: is empty"):
        free_port("", 7860)
