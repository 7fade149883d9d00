"""diffusers' own caches, attached by `enable_cache`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lesa_framework import HasTransformer, PeerError, PeerSettings
from lesa_peers.pristine import pristine


@dataclass(frozen=True)
class DiffusersCache:
    """One of diffusers' own caches.

    Attributes:
        name: The name of its family.
        settings: What was chosen.
        config: Makes what `enable_cache` takes; called when it is attached, because that imports diffusers.
    """

    name: str
    settings: PeerSettings
    config: Callable[[], object]

    @contextmanager
    def attach(self, pipe: HasTransformer) -> Iterator[None]:
        """Attach the cache; leaving the context detaches it.

        Raises:
            PeerError: The model takes no cache.
        """
        refused = refusal(pipe)
        if refused is not None:
            raise PeerError(refused)
        model: Any = pipe.transformer
        with pristine(pipe):
            model.enable_cache(self.config())
            try:
                yield
            finally:
                model.disable_cache()


class DiffusersFamily:
    """What the families of diffusers' own caches share: which models they can be attached to."""

    def refusal(self, pipe: HasTransformer) -> str | None:
        """Why it cannot be attached; None when it can."""
        return refusal(pipe)


def refusal(pipe: HasTransformer) -> str | None:
    """Why a model supports none of diffusers' caches; None when it does."""
    try:
        from diffusers import CacheMixin
    except ImportError as error:
        return f'diffusers is not installed ({error}). Install it with `pip install "lesa-framework[diffusers]"`.'
    model = pipe.transformer
    if not isinstance(model, CacheMixin):
        return f"{type(model).__name__} has no `enable_cache`: diffusers gives it none of its caches."
    return None
