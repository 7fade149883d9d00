"""Float images to PNG and WebP, for people to look at."""

from __future__ import annotations

import base64
import io
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

#: How long each frame of a video is shown, in milliseconds.
_FRAME_MS = 66
#: The longest side of an embedded picture or frame, in pixels; a page with larger ones might not open.
_LIMIT = 512
#: The widest picture that WebP can store, in pixels.
_WIDEST = 16383
#: Up to this side a picture is embedded without loss: it is small anyway, and its pixels can be compared.
_LOSSLESS = 128


def to_pil(image: Tensor) -> Any:
    """A picture as an 8-bit image of Pillow.

    Args:
        image: Shape (3, height, width), on the CPU; values outside [0, 1] are clipped.
    """
    from PIL import Image

    pixels = image.float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels)


def thumbnail(image: Tensor, limit: int) -> Tensor:
    """The image or video, made smaller when its longer side is above `limit` pixels."""
    factor = limit / max(image.shape[-2:])
    if factor >= 1:
        return image
    size = [max(1, round(side * factor)) for side in image.shape[-2:]]
    frames = interpolate(image.reshape(-1, *image.shape[-3:]), size=size, mode="bilinear", antialias=True)
    return frames.reshape(*image.shape[:-2], *size)


def enlarged(image: Tensor, smallest: int, largest: int) -> Any:
    """A PIL image to look at; small ones grow by a whole factor, smoothly: edges of pixels would hide the shapes.

    Args:
        image: Shape (3, height, width), in [0, 1].
        smallest: What the longer side grows to at least, in pixels.
        largest: What the longer side shrinks to, in pixels.
    """
    from PIL import Image

    picture = to_pil(thumbnail(image, largest))
    factor = -(-smallest // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)


def spread(frames: Tensor, count: int) -> Tensor:
    """So many of a clip's frames, from the first to the last; all of them if there are fewer.

    Args:
        frames: Shape (frames, 3, height, width).
        count: How many; at least two.
    """
    count = min(count, len(frames))
    return frames[[round(index * (len(frames) - 1) / (count - 1)) for index in range(count)]]


def png_bytes(image: Tensor) -> bytes:
    """A PNG file's content; a video (frames first) becomes an animated PNG."""
    if image.ndim == 3:
        return _encoded(to_pil(image), "PNG", optimize=True)
    first, *others = [to_pil(frame) for frame in image]
    return _encoded(first, "PNG", save_all=True, append_images=others, duration=_FRAME_MS, loop=0)


def _encoded(picture: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def from_data_uri(uri: str, frames: int = 1) -> Tensor:
    """The picture, or the video with its frames first, that a `data:` URI of `data_uri` holds.

    Args:
        uri: What `data_uri` returned.
        frames: Frames that stand side by side in it.

    Returns:
        Shape (3, height, width), or (frames, 3, height, width) for more than one frame; float32 in [0, 1].
    """
    import numpy as np
    from PIL import Image

    _, _, content = uri.partition(",")
    with Image.open(io.BytesIO(base64.b64decode(content))) as opened:
        pixels = torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1).float() / 255
    return pixels if frames == 1 else torch.stack(pixels.chunk(frames, dim=-1))


def data_uri(image: Tensor) -> str:
    """A picture, or a video's frames side by side, as a `data:` URI of WebP; large ones are made smaller.

    Args:
        image: Shape (3, height, width), or with frames first, in [0, 1].
    """
    frames = image if image.ndim == 4 else image[None]
    small = thumbnail(frames, min(_LIMIT, _WIDEST // len(frames)))
    lossless = max(small.shape[-2:]) <= _LOSSLESS
    content = _encoded(to_pil(torch.cat(list(small), dim=-1)), "WEBP", lossless=lossless, quality=90, method=4)
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")
