"""Float images to PNG and WebP, and one picture of everything, for people to look at."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lesa_framework.measure.results import QUALITY, UNCACHED, ModelResults

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

#: How long each frame of a video is shown, in milliseconds.
_FRAME_MS = 66
#: The longest side of an embedded picture or frame, in pixels; a page with larger ones might not open.
_LIMIT = 512
#: The widest picture that WebP can store, in pixels.
_WIDEST = 16383
#: Up to this side a picture is embedded without loss: it is small anyway, and its pixels can be compared.
_LOSSLESS = 128
#: Sizes in the picture of everything, and its colours.
_TILE, _GAP, _HEADER, _CAPTION, _FOOTER = 160, 10, 34, 26, 22
_INK, _SOFT, _PAPER = (28, 29, 33), (98, 100, 108), (255, 255, 255)


def to_pil(image: Tensor) -> Any:
    """A PIL image.

    Args:
        image: Shape (3, height, width), in [0, 1].
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


def strip(image: Tensor) -> Tensor:
    """A still picture; for a video, its first, middle and last frame side by side."""
    if image.ndim == 3:
        return image
    return torch.cat([image[0], image[len(image) // 2], image[-1]], dim=-1)


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


def grid_png(found: ModelResults) -> bytes:
    """A row for each prompt and a column for each method, as a PNG file's content.

    Small images are enlarged without smoothing, videos shown as three frames.
    """
    from PIL import Image, ImageDraw, ImageFont

    names = list(found.images)
    shown = min(len(images) for images in found.images.values())
    images = {name: [from_data_uri(uri, found.frames) for uri in found.images[name][:shown]] for name in names}
    first = strip(images[names[0]][0])
    # A strip of three frames may be wider than a picture, so that every frame stays visible.
    longest = _TILE if first.shape == images[names[0]][0].shape else 2 * _TILE
    height, width = (max(1, round(side * longest / max(first.shape[-2:]))) for side in first.shape[-2:])
    step_x, step_y = width + _GAP, _CAPTION + height + _FOOTER + _GAP
    sheet = Image.new("RGB", (_GAP + len(names) * step_x, _HEADER + shown * step_y), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        draw.text((_GAP + column * step_x, 10), name, _INK, _fitting(name, width, draw))
    text = ImageFont.load_default(15)
    small = ImageFont.load_default(12)
    for row, pair in enumerate(found.pairs[:shown]):
        top = _HEADER + row * step_y
        draw.text((_GAP, top), f"{pair.prompt}   (seed {pair.seed})", _INK, text)
        for column, name in enumerate(names):
            left = _GAP + column * step_x
            tile = to_pil(thumbnail(strip(images[name][row]), longest)).resize(
                (width, height), Image.Resampling.NEAREST
            )
            sheet.paste(tile, (left, top + _CAPTION))
            psnr = found.details[name].scores[QUALITY][row]
            label = "" if name == UNCACHED else "identical" if psnr is None else f"{psnr:.1f} dB"
            draw.text((left, top + _CAPTION + height + 3), label, _SOFT, small)
    return _encoded(sheet, "PNG", optimize=True)


def _fitting(text: str, width: int, draw: ImageDraw.ImageDraw) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The largest font in which the text fits its column."""
    from PIL import ImageFont

    for size in range(14, 7, -1):
        font = ImageFont.load_default(size)
        if draw.textlength(text, font=font) <= width:
            return font
    return ImageFont.load_default(7)
