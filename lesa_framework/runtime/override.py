"""Replaces one instance's `forward`, and cooperates with offloading, which does the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

#: Where accelerate keeps the forward that its hooks wrap: it calls it through here and puts it back from here, which
#: diffusers' `enable_model_cpu_offload` does after every run.
WRAPPED = "_old_forward"


class ForwardOverride:
    """A `forward` of our own on one instance, never on its class.

    When accelerate has hooked the module, ours goes beneath its hook, so that it outlives the hook's removal.

    Args:
        model: The module.
        forward: What is called in place of its forward.

    Attributes:
        original: What was called before.
    """

    def __init__(self, model: nn.Module, forward: Callable[..., Any]) -> None:
        self._own, self._forward = model.__dict__, forward
        place = WRAPPED if WRAPPED in self._own else "forward"
        self._held = place in self._own
        self.original: Callable[..., Any] = self._own[place] if self._held else model.forward
        self._own[place] = forward

    def remove(self) -> None:
        """Put the original back, wherever ours is held by now.

        Where something else wraps ours and keeps it to itself, both stay.
        """
        for place in ("forward", WRAPPED):
            # Two bound methods of the same object are equal, but not the same object.
            if self._own.get(place) != self._forward:
                continue
            if place == "forward" and not self._held:
                del self._own[place]
            else:
                self._own[place] = self.original
