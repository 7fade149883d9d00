"""The preprocessing of pictures for CLIP, in float and on any device.

The processors of transformers need torchvision, or go through 8-bit pictures one by one; methods that differ by
less than that, and videos of many frames, want neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_DONE: Final = ("do_resize", "do_center_crop", "do_normalize")
#: Pillow's number of a filter -> torch's name for it.
_FILTERS: Final = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class Preparation:
    """Resize so that the shorter side fits, cut out the centre, and normalise.

    Attributes:
        side: Length of the shorter side after resizing, in pixels.
        crop: Height and width of the centre that is kept.
        mean: Of each channel, in [0, 1].
        std: Of each channel.
        resample: `bicubic` or `bilinear`; the filter widens when it shrinks, as Pillow's does.
    """

    side: int = 224
    crop: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    resample: str = "bicubic"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Preparation:
        """Read a `preprocessor_config.json`; missing values are those of the first CLIP.

        Raises:
            ValueError: It asks for something else than a CLIP model needs.
        """
        undone = [step for step in _DONE if not settings.get(step, True)]
        size, crop = settings.get("size", cls.side), settings.get("crop_size", cls.crop[0])
        # Old files have a number, newer ones say what it means.
        side = size.get("shortest_edge") if isinstance(size, Mapping) else size
        height, width = (crop["height"], crop["width"]) if isinstance(crop, Mapping) else (crop, crop)
        resample = settings.get("resample", 3)
        if undone or side is None or side < max(height, width) or resample not in _FILTERS:
            raise ValueError(
                f"its image processor has {dict(settings)}; supported are resizing the shorter side (resample 2 or 3), "
                "a centre crop no larger than that, and normalisation."
            )
        return cls(
            side=side,
            crop=(height, width),
            mean=tuple(settings.get("image_mean", cls.mean)),
            std=tuple(settings.get("image_std", cls.std)),
            resample=_FILTERS[resample],
        )

    def __call__(self, pictures: Tensor) -> Tensor:
        """Prepare pictures.

        Args:
            pictures: Shape (pictures, 3, height, width), in [0, 1].

        Returns:
            Shape (pictures, 3, *crop), float32.
        """
        height, width = pictures.shape[-2:]
        short = min(height, width)
        sides = (self.side * height // short, self.side * width // short)
        resized = interpolate(pictures.float(), sides, mode=self.resample, antialias=True).clamp(0, 1)
        top, left = ((side - kept) // 2 for side, kept in zip(sides, self.crop, strict=True))
        cut = resized[..., top : top + self.crop[0], left : left + self.crop[1]]
        mean, std = (torch.tensor(part, device=cut.device)[:, None, None] for part in (self.mean, self.std))
        return (cut - mean) / std
