"""Float images to PNG, the last step before eyes."""

from __future__ import annotations

import io
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

#: Milliseconds a frame of a video is shown.
_FRAME_MS = 66


def to_pil(image: Tensor) -> Any:
    """A PIL image.

    Args:
        image: Shape (3, height, width), in [0, 1].
    """
    from PIL import Image

    pixels = image.float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels)


def thumbnail(image: Tensor, limit: int) -> Tensor:
    """The image, made smaller when its longer side is above `limit` pixels; of a video the middle frame."""
    still = image[len(image) // 2] if image.ndim == 4 else image
    factor = limit / max(still.shape[-2:])
    if factor >= 1:
        return still
    size = [max(1, round(side * factor)) for side in still.shape[-2:]]
    return interpolate(still[None], size=size, mode="bilinear", antialias=True)[0]


def png_bytes(image: Tensor) -> bytes:
    """A PNG file's content; a video (frames first) becomes an animated PNG."""
    buffer = io.BytesIO()
    if image.ndim == 4:
        first, *others = [to_pil(frame) for frame in image]
        first.save(buffer, "PNG", save_all=True, append_images=others, duration=_FRAME_MS, loop=0)
    else:
        to_pil(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
