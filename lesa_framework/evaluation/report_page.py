"""The report: one HTML page that holds everything, images included, and needs no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec

from torch import Tensor

from lesa_framework.errors import ConfigError
from lesa_framework.evaluation.chart import psnr_chart
from lesa_framework.evaluation.images import png_bytes, thumbnail
from lesa_framework.evaluation.rows import UNCACHED, Results, Row, best_per_nfe

#: Longer side of an embedded image, so that a page of large ones still opens.
_LIMIT = 512


@dataclass(frozen=True)
class Picture:
    """One image of the grid."""

    method: str
    source: str
    psnr_db: float | None


@dataclass(frozen=True)
class Example:
    """One prompt and its image by every method."""

    prompt: str
    seed: int
    pictures: list[Picture]


@dataclass(frozen=True)
class Plan:
    """What one method did on one branch, a letter a step."""

    method: str
    branch: str
    letters: str


def check_report() -> None:
    """Refuse early when no page can be made.

    Raises:
        ConfigError: jinja2 or Pillow is not installed.
    """
    missing = [name for name, module in (("jinja2", "jinja2"), ("pillow", "PIL")) if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f'--report: needs {" and ".join(missing)}. Install with `pip install "lesa-framework[diffusers]"`.'
        )


def write_report(results: Results, images: Mapping[str, Tensor]) -> str:
    """The page.

    Args:
        results: What was measured.
        images: Row name -> images of the first pairs, in [0, 1].
    """
    from jinja2 import Environment
    from markupsafe import Markup

    template = (files("lesa_framework.evaluation") / "report.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        results=results,
        headline=headline(results),
        winners=best_per_nfe(results.rows),
        chart=Markup(psnr_chart(results.rows)),
        examples=_examples(results, images),
        plans=_plans(results),
        uncached=UNCACHED,
    )


def headline(results: Results) -> list[str]:
    """What the comparison says, in a sentence for each number of computed steps; losses are said too."""
    sentences = []
    for nfe in sorted({row.nfe for row in results.rows if row.name in results.configs}, reverse=True):
        rivals = sorted(_rated(results, nfe), key=lambda row: row.psnr_db or 0.0, reverse=True)
        if not rivals:
            continue
        first = rivals[0]
        sentence = (
            f"{nfe} of {results.num_steps} steps computed: {first.name} is closest to the uncached run, "
            f"{first.psnr_db:.1f} dB, {first.speedup:.1f}x faster"
        )
        if len(rivals) > 1:
            sentence += f"; next is {rivals[1].name} with {rivals[1].psnr_db:.1f} dB"
        sentences.append(sentence + ".")
    return sentences


def _rated(results: Results, nfe: int) -> list[Row]:
    return [row for row in results.rows if row.nfe == nfe and row.psnr_db is not None]


def _examples(results: Results, images: Mapping[str, Tensor]) -> list[Example]:
    shown = min((len(batch) for batch in images.values()), default=0)
    return [
        Example(
            pair.prompt,
            pair.seed,
            [
                Picture(
                    row.name,
                    _embedded(images[row.name][index]),
                    None if row.name == UNCACHED else results.details[row.name].psnr_db[index],
                )
                for row in results.rows
                if row.name in images
            ],
        )
        for index, pair in enumerate(results.pairs[:shown])
    ]


def _plans(results: Results) -> list[Plan]:
    return [
        Plan(row.name, branch, letters)
        for row in results.rows
        for branch, letters in results.details[row.name].plans.items()
    ]


def _embedded(image: Tensor) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(thumbnail(image, _LIMIT))).decode("ascii")
