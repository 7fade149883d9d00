"""Puts a contender into a pipeline, whatever sort it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lesa_framework.api import Session, attach_strategy
from lesa_framework.interfaces.peer import Peer
from lesa_framework.measure.contenders import Contender
from lesa_framework.pipelines import CallablePipeline


@contextmanager
def attached(pipe: CallablePipeline, contender: Contender, peer: Peer | None = None) -> Iterator[Session | None]:
    """Inside, the contender is at work; afterwards the pipeline is as before.

    Args:
        pipe: The pipeline, bare.
        contender: Whom to attach; plain runs need nothing.
        peer: Of peers, the one with all settings chosen.

    Yields:
        The session of a cache; None for peers and plain runs.
    """
    if peer is not None:
        with peer.attach(pipe):
            yield None
    elif contender.config is None or contender.strategy is None:
        yield None
    else:
        backbone = contender.config.backbone
        with attach_strategy(pipe, contender.strategy, backbone, backbone.tap) as session:
            yield session
