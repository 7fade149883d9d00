"""Replaces one instance's `forward`, and cooperates with offloading, which does the same."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature
from typing import Any

from torch import nn

#: Where accelerate keeps the forward that its hooks wrap: it calls it through here and puts it back from here, which
#: diffusers' `enable_model_cpu_offload` does after every run.
WRAPPED = "_old_forward"
#: Where diffusers keeps a module's hooks, which wrap its forward too.
REGISTRY = "_diffusers_hook"
#: Where a session leaves its attachment.
ATTACHED = "_lesa_attachment"
#: The method by which diffusers' pipelines name their branches.
CONTEXT = "cache_context"
#: Where `model.compile()` leaves what it made.
COMPILED = "_compiled_call_impl"
#: `torch.compile(model)` gives a model that has the first of them a wrapper that calls the second one before all else:
#: those are modules that do not know their shapes yet.
LAZY = ("_initialize_hook", "_infer_parameters")
#: Attributes of a model's instance that say how it is called.
CALLING = ("forward", WRAPPED, "_hf_hook", REGISTRY, CONTEXT, ATTACHED, "compile", COMPILED, *LAZY)


class Forward:
    """What is called in place of a forward, with the forward's signature.

    It has no dictionary: those who wrap a forward copy what it has in its own.

    Args:
        call: What is called, with the arguments and the keyword arguments.
        signature: That of the model's own forward, by which modular pipelines choose what to pass.
    """

    __slots__ = ("__signature__", "_call")

    def __init__(self, call: Callable[[tuple[Any, ...], dict[str, Any]], Any], signature: Signature) -> None:
        self._call, self.__signature__ = call, signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self._call(args, kwargs)


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
        self._place = WRAPPED if WRAPPED in self._own else "forward"
        self._held = self._place in self._own
        self.original: Callable[..., Any] = self._own[self._place] if self._held else model.forward

    def put(self) -> None:
        """Put ours in its place."""
        self._own[self._place] = self._forward

    def renew(self, *, was_in_place: bool) -> bool:
        """Put ours back where a hook of diffusers, which was beneath it, left during a call and took it away.

        Group offloading with streams has a hook for the first call alone, and puts back what that wrapped. What it put
        back is what ours calls from now on. A hook that was put over ours before the call wraps it, and stays.

        Args:
            was_in_place: Whether ours was in its place when the call began.

        Returns:
            Whether it had been taken away.
        """
        if not was_in_place or self.is_in_place or REGISTRY not in self._own or "forward" not in self._own:
            return False
        self.original, self._place, self._held = self._own["forward"], "forward", True
        self.put()
        return True

    @property
    def is_in_place(self) -> bool:
        """Whether ours is where it can be called, and nothing else in its place."""
        return self._own.get("forward") is self._forward or self._own.get(WRAPPED) is self._forward

    def remove(self) -> None:
        """Put the original back, wherever ours is held by now.

        Where something else wraps ours and keeps it to itself, both stay.
        """
        for place in ("forward", WRAPPED):
            if self._own.get(place) is not self._forward:
                continue
            if place == "forward" and not self._held:
                del self._own[place]
            else:
                self._own[place] = self.original
