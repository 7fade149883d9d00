"""One picture of everything: a row for each prompt, a column for each method, captions above."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from lesa_framework.measure.images import from_data_uri, strip, thumbnail, to_pil
from lesa_framework.measure.results import QUALITY, UNCACHED, ModelResults

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

_TILE, _GAP, _HEADER, _CAPTION, _FOOTER = 160, 10, 34, 26, 22
_INK, _SOFT, _PAPER = (28, 29, 33), (98, 100, 108), (255, 255, 255)


def grid_png(found: ModelResults) -> bytes:
    """The grid as a PNG file's content; small images are enlarged without smoothing, videos shown as three frames."""
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
    return _encoded(sheet)


def _fitting(text: str, width: int, draw: ImageDraw.ImageDraw) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The largest font in which the text fits its column."""
    from PIL import ImageFont

    for size in range(14, 7, -1):
        font = ImageFont.load_default(size)
        if draw.textlength(text, font=font) <= width:
            return font
    return ImageFont.load_default(7)


def _encoded(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
