"""What the launcher of several processes, such as `torchrun`, tells each of them. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

_RANK, _SIZE, _WHERE = "RANK", "WORLD_SIZE", ("MASTER_ADDR", "MASTER_PORT")


class Launch(NamedTuple):
    """One of several processes.

    Attributes:
        rank: Its number.
        size: How many there are.
        host: Where they meet.
        port: Where they meet.
        round: How often the launcher has started all of them again.
        has_store: Whether the launcher itself keeps the store in which they meet, for as long as any of them lives.
    """

    rank: int
    size: int
    host: str
    port: str
    round: str
    has_store: bool


def launched(environ: Mapping[str, str] = os.environ) -> Launch | None:
    """Which of several processes this is; None for one process."""
    rank, size = environ.get(_RANK, ""), environ.get(_SIZE, "")
    host, port = (environ.get(name, "") for name in _WHERE)
    if not (rank.isdecimal() and size.isdecimal() and int(size) > 1 and host and port):
        return None
    again, store = environ.get("TORCHELASTIC_RESTART_COUNT", "0"), environ.get("TORCHELASTIC_USE_AGENT_STORE")
    return Launch(int(rank), int(size), host, port, again, store == "True")


def is_left_alone(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher says where several processes meet, and not which of them this is: it started one."""
    return all(name in environ for name in _WHERE) and not {_RANK, _SIZE} & set(environ)
