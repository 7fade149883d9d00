"""One picture to look at: for each prompt the uncached sample beside the best method of each kind.

Pictures have a row for each prompt and a column for each method. Clips have a row for each method, because their frames
stand side by side; frames of two methods then lie above each other.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from lesa_framework.measure.images import enlarged, from_data_uri, spread
from lesa_framework.measure.page.view import below, short_names
from lesa_framework.measure.results import QUALITY, Kind, ModelResults, Results, Row

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font: TypeAlias = ImageFont | FreeTypeFont

#: The most methods beside the uncached one, frames of a clip, and prompts with clips.
_METHODS, _FRAMES, _CLIPS = 5, 5, 3
#: The longer side of a picture or frame, in pixels: small ones grow to the first, large ones shrink to the second.
_SMALLEST, _LARGEST = 192, 288
_LEGEND = "dB: PSNR against the uncached one of the same prompt and seed"
_MARGIN, _GAP, _SEAM, _LINE = 24, 14, 4, 26
_INK, _SOFT, _PAPER = (28, 29, 33), (98, 100, 108), (255, 255, 255)
_TITLE, _NAME, _NUMBER = 22, 18, 15


@dataclass(frozen=True)
class _Shown:
    """A method: its name and its work for people, and for each prompt the frames and the PSNR."""

    name: str
    work: str
    frames: Sequence[Sequence[Any]]
    below: Sequence[str]


def sheet_png(results: Results, found: ModelResults) -> bytes:
    """The sheet of a model as a PNG file's content.

    Args:
        results: What was measured.
        found: One of its models, with images.
    """
    shown = _shown(results, found)
    count = min(len(each.frames) for each in shown)
    prompts = [pair.prompt for pair in found.pairs[:count]]
    title = f"{found.model}: uncached in {found.num_steps} steps, and the best method of each kind in {shown[-1].work}"
    sheet = _Clips(title) if found.frames > 1 else _Pictures(title)
    sheet.write(_MARGIN, _MARGIN + _LINE + 2, _LEGEND, _NUMBER, soft=True)
    return sheet.drawn(prompts, shown)


def methods(results: Results, found: ModelResults) -> list[Row]:
    """The uncached row, and of the rows that saved the most the best of each family, best first."""
    rows = [row for row in results.in_order(found.model) if found.images.get(row.name)]
    others = [row for row in rows if row.kind is not Kind.UNCACHED]
    most = min((row.nfe for row in others), default=0)
    best: dict[str, Row] = {}
    for row in others:
        if row.nfe == most:
            best.setdefault(row.family, row)
    return [*(row for row in rows if row.kind is Kind.UNCACHED), *list(best.values())[:_METHODS]]


def _shown(results: Results, found: ModelResults) -> list[_Shown]:
    labels = short_names(results.of_model(found.model))
    return [
        _Shown(
            labels[row.name],
            f"{row.nfe} steps",
            [_frames(uri, found.frames) for uri in found.images[row.name]],
            [below(row.kind, each) for each in found.details[row.name].scores[QUALITY]],
        )
        for row in methods(results, found)
    ]


def _frames(uri: str, frames: int) -> list[Any]:
    """The picture, or some frames of a clip from its first to its last, large enough to see."""
    sample = from_data_uri(uri, frames)
    shown = [sample] if frames == 1 else spread(sample, _FRAMES)
    return [enlarged(frame, _SMALLEST, _LARGEST) for frame in shown]


class _Sheet:
    """A sheet that grows to the size of what is drawn on it."""

    def __init__(self, title: str) -> None:
        self._parts: list[tuple[int, int, Any]] = []
        self._texts: list[tuple[int, int, str, Font, tuple[int, int, int]]] = []
        self._width = self._height = 0
        self.write(_MARGIN, _MARGIN, title, _TITLE)

    def write(
        self, left: int, top: int, text: str, size: int, *, soft: bool = False, within: int | None = None
    ) -> None:
        """Write a line, smaller where it must fit a width."""
        from PIL import ImageFont

        font = ImageFont.load_default(size)
        while within is not None and size > _SMALLEST // 24 and font.getlength(text) > within:
            size -= 1
            font = ImageFont.load_default(size)
        self._texts.append((left, top, text, font, _SOFT if soft else _INK))
        self._grow(left + int(font.getlength(text)), top + _LINE)

    def paste(self, left: int, top: int, picture: Any) -> None:
        """Put a picture down."""
        self._parts.append((left, top, picture))
        self._grow(left + picture.width, top + picture.height)

    def _grow(self, right: int, bottom: int) -> None:
        self._width, self._height = max(self._width, right + _MARGIN), max(self._height, bottom + _MARGIN)

    def png(self) -> bytes:
        """Everything, as a PNG file's content."""
        from PIL import Image, ImageDraw

        sheet = Image.new("RGB", (self._width, self._height), _PAPER)
        draw = ImageDraw.Draw(sheet)
        for left, top, picture in self._parts:
            sheet.paste(picture, (left, top))
        for left, top, text, font, colour in self._texts:
            draw.text((left, top), text, colour, font)
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG")
        return buffer.getvalue()


class _Pictures(_Sheet):
    """A row for each prompt, a column for each method."""

    def drawn(self, prompts: Sequence[str], shown: Sequence[_Shown]) -> bytes:
        """Draw all of it."""
        width, height = shown[0].frames[0][0].size
        lefts = [_MARGIN + column * (width + _GAP) for column in range(len(shown))]
        top = _MARGIN + 3 * _LINE
        for left, each in zip(lefts, shown, strict=True):
            self.write(left, top, each.name, _NAME, within=width)
            self.write(left, top + _LINE - 3, each.work, _NUMBER, soft=True)
        top += 2 * _LINE
        for index, prompt in enumerate(prompts):
            self.write(_MARGIN, top + _GAP, prompt, _NAME)
            top += _GAP + _LINE
            for left, each in zip(lefts, shown, strict=True):
                self.paste(left, top, each.frames[index][0])
                self.write(left, top + height + 3, each.below[index], _NUMBER, soft=True)
            top += height + _LINE
        return self.png()


class _Clips(_Sheet):
    """For each prompt a row for each method, its frames from left to right."""

    def drawn(self, prompts: Sequence[str], shown: Sequence[_Shown]) -> bytes:
        """Draw all of it."""
        width, height = shown[0].frames[0][0].size
        top, names = _MARGIN + 3 * _LINE, _SMALLEST
        for index, prompt in enumerate(prompts[:_CLIPS]):
            self.write(_MARGIN, top, prompt, _NAME)
            top += _LINE + 2
            for each in shown:
                middle = top + height // 2 - _LINE
                self.write(_MARGIN, middle, each.name, _NAME, within=names)
                self.write(_MARGIN, middle + _LINE - 3, each.work, _NUMBER, soft=True)
                self.write(_MARGIN, middle + 2 * _LINE - 9, each.below[index], _NUMBER, soft=True)
                for place, frame in enumerate(each.frames[index]):
                    self.paste(_MARGIN + names + _GAP + place * (width + _SEAM), top, frame)
                top += height + _SEAM
            top += _LINE
        return self.png()
