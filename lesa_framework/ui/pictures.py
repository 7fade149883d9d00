"""Samples as pictures for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from lesa_framework.measure.images import enlarged
from lesa_framework.types import Samples

#: The longer side, in pixels: small pictures grow to the first, large ones shrink to the second.
_SMALLEST: Final = 512
_LARGEST: Final = 1536


@dataclass(frozen=True)
class Pictures:
    """The frames of two samples, as PIL images; of a picture there is one.

    Attributes:
        uncached: Of the uncached sample.
        cached: Of the cached one.
    """

    uncached: tuple[Any, ...]
    cached: tuple[Any, ...]

    @property
    def is_clip(self) -> bool:
        """Whether there is more than one frame."""
        return len(self.uncached) > 1


def pictures_of(uncached: Samples, cached: Samples) -> Pictures:
    """The first sample of both, large enough to see."""
    return Pictures(_frames(uncached), _frames(cached))


def _frames(samples: Samples) -> tuple[Any, ...]:
    first = samples.images[0]
    frames = first if first.ndim == 4 else first[None]
    return tuple(enlarged(frame, _SMALLEST, _LARGEST) for frame in frames)
