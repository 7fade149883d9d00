"""A compiler for tests: it counts graphs, and refuses breaks and recompiling."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


class Compiler:
    """A backend that runs graphs as they are, and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph, example_inputs):
        self.graphs += 1
        return graph.forward

    @property
    def options(self):
        """Whole graphs only: a break is an error."""
        return {"backend": self, "fullgraph": True}


@pytest.fixture
def compiler() -> Iterator[Compiler]:
    """A compiler that has compiled nothing yet, and may compile each function once."""
    import torch._dynamo as dynamo

    dynamo.reset()
    with dynamo.config.patch(error_on_recompile=True):
        yield Compiler()
    dynamo.reset()
