"""What a program that samples by itself tells of each call of the model: nothing has to be found out then."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeAlias

from lesa_framework.interfaces.backbone import Arguments


@dataclass(frozen=True)
class HostCall:
    """Where one call of the model belongs.

    Attributes:
        run: Tells the run, one request of the host, from others. Runs may take turns; each has its own state until
            `Session.end_run`.
        sigmas: The run's noise levels in [0, 1], falling, the final one included; empty to compute every step. Other
            levels under the same `run` begin a new run.
        index: The step, or None for a call at a noise level that is not on the grid, which is computed.
        branches: One name for each equal part of the batch, in the batch's order: guidance in one call has two. A name
            that comes twice in a step gets a branch of its own the second time. `cond.2` is another branch of the kind
            of `cond`: a second prompt, say.
        sequence: Names of branches in the order in which pipelines call them one after the other at each step. It
            numbers them, and the parts of a batch are worked on in it: weights may differ by number, and filters may
            read other branches. Names that are not in it come after these; where they repeat one of them, or are of
            its kind, they have its number. By default all as they come.
    """

    run: Hashable
    sigmas: tuple[float, ...]
    index: int | None
    branches: tuple[str, ...] = ("cond",)
    sequence: tuple[str, ...] = ()


Host: TypeAlias = Callable[[Arguments], HostCall]
"""Asked at each call of the model, with the arguments of its forward by name."""
