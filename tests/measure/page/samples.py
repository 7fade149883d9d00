"""Made-up results that look like real ones: a picture model and a video model, peers that fail or do too much work."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cache
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesa_framework.measure.details import Bandwidth, Details, MetricInfo, Source
from lesa_framework.measure.intervals import differences
from lesa_framework.measure.results import Kind, ModelResults, Pair, Results, Row

PICTURES, VIDEOS = "reference:flux", "reference:hunyuan_video"
STEPS, FRAMES, SHOWN = 50, 9, 5
N7 = "FFFFPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPPPFPPPPP"
EVERY5 = "FPPPP" * 10
N10 = "FFFFPPPPPPPPFPPPPPPPPPFPPPPPPPPPFPPPPPPPPPFPPPPPPP"
PROMPTS = (
    "a red ring on blue",
    "a checkered orange cross right of a cyan diamond",
    "a white square below a purple circle",
    "a <b>blue</b> star & a green \"disc\"",
    "two yellow triangles",
    "a striped grey heart",
)  # fmt: skip


METRICS = {
    "psnr_db": MetricInfo(heading="PSNR, dB", summary="Float PSNR.", higher_is_better=True, digits=2),
    "ssim": MetricInfo(heading="SSIM", summary="Structural similarity.", higher_is_better=True),
    "rel_l2": MetricInfo(heading="rel. L2", summary="Distance of the latents.", higher_is_better=False),
    "feature_rel_l2": MetricInfo(heading="features", summary="Distance of the outputs.", higher_is_better=False),
    "caption_score": MetricInfo(heading="caption", summary="Is it what was asked for?", higher_is_better=True),
    "lpips": MetricInfo(heading="LPIPS", summary="Perceptual distance.", higher_is_better=False),
}


@dataclass(frozen=True)
class _Made:
    name: str
    kind: Kind
    family: str
    nfe: int
    work: float | None
    psnr: float | None
    speedup: float | None = None
    cache_mib: float = 0.0
    plan: str = ""
    note: str = ""
    error: str | None = None


_FLUX = (
    _Made("uncached", Kind.UNCACHED, "uncached", 50, 50, None, 1.0),
    _Made("ref-flux-lesa-n7", Kind.CACHE, "lesa", 10, 10, 32.35, 3.99, 4.0, N7),
    _Made("ref-flux-taylorseer-n7", Kind.CACHE, "taylorseer", 10, 10, 30.38, 4.09, 1.0, N7),
    _Made("ref-flux-taylorseer-every5", Kind.CACHE, "taylorseer", 10, 10, 35.53, 4.13, 1.0, EVERY5),
    _Made("ref-flux-reuse-n7", Kind.CACHE, "reuse", 10, 10, 24.55, 4.08, 0.5, N7),
    _Made("fewer_steps_10", Kind.FEWER_STEPS, "fewer_steps", 10, 10, 27.87, 4.63),
    _Made(
        "cache-dit-dbcache", Kind.PEER, "cache-dit-dbcache", 10, 9.8, 27.1, 3.31, 6.4,
        "FFFFF1111F1111F1111F1111F111111F11111F11111F111111", "found after 9 tries",
    ),
    _Made(
        "diffusers-taylorseer", Kind.PEER, "diffusers-taylorseer", 10, 12.4, 31.2, 3.02, 18.2,
        "FFFFF2222F2222F2222F2222F2222F2222F2222F2222F22222", "its defaults; nothing lower can be set",
    ),
    _Made(
        "diffusers-magcache", Kind.PEER, "diffusers-magcache", 10, None, None,
        error="ValueError: MagCache needs `mag_ratios` for this model, and there are none for transformers of 4 blocks",
    ),
    _Made("ref-flux-lesa-n10", Kind.CACHE, "lesa", 8, 8, 26.49, 4.73, 5.5, N10),
    _Made("ref-flux-taylorseer-n10", Kind.CACHE, "taylorseer", 8, 8, 25.31, 4.76, 1.0, N10),
    _Made("ref-flux-reuse-n10", Kind.CACHE, "reuse", 8, 8, 21.94, 4.79, 0.5, N10),
    _Made("fewer_steps_8", Kind.FEWER_STEPS, "fewer_steps", 8, 8, 26.40, 5.67),
    _Made(
        "diffusers-first-block", Kind.PEER, "diffusers-first-block", 8, 7.9, 22.7, 3.9, 2.2,
        "FFF11F11111F111111F11111111F1111111111F11111111F11",
    ),
)  # fmt: skip
_VIDEO = (
    _Made("uncached", Kind.UNCACHED, "uncached", 50, 50, None, 1.0),
    _Made("ref-hunyuan_video-lesa-n7", Kind.CACHE, "lesa", 10, 10, 38.79, 3.89, 2.5, N7),
    _Made("ref-hunyuan_video-taylorseer-n7", Kind.CACHE, "taylorseer", 10, 10, 35.22, 3.96, 0.6, N7),
    _Made("ref-hunyuan_video-reuse-n7", Kind.CACHE, "reuse", 10, 10, 29.88, 3.98, 0.3, N7),
    _Made("fewer_steps_10", Kind.FEWER_STEPS, "fewer_steps", 10, 10, 33.15, 4.03),
    _Made("cache-dit-dbcache", Kind.PEER, "cache-dit-dbcache", 10, 9.9, 31.4, 3.2, 5.1, N7.replace("P", "1")),
)  # fmt: skip


@cache
def sample_results() -> Results:
    """The same every time."""
    found = [_model(PICTURES, _FLUX, 1), _model(VIDEOS, _VIDEO, FRAMES)]
    rows = [row for each, _ in found for row in each]
    return Results(
        title="Reference models, side by side",
        rows=rows,
        models=[model for _, model in found],
        differences=[difference for each, model in found for difference in differences(each, model)],
        metrics=METRICS,
        spec={"title": "Reference models, side by side", "models": [{"model": PICTURES, "targets": [10, 8]}]},
        command="lesa bench benchmarks/configs/reference.yaml --out results.json",
        environment={"python": "3.11.7", "torch": "2.13.0", "device": "cpu, 2 threads"},
        notes=["made-up numbers: this page is for tests"],
    )


@cache
def timed_results() -> Results:
    """A model that was only timed: no prompts, no images and no scores."""
    parts = {"prelude": 0.5, "stack": 8.0, "predictor": 0.25, "head": 0.25}
    bandwidth = Bandwidth(
        taps=2, feature_shape=(1, 8, 4), dtype="bfloat16", bytes_read=128, bytes_written=64, seconds=1e-6,
        bytes_per_second=1.92e8, copy_seconds=9e-7, copy_bytes_per_second=2.13e8, share_of_copy=0.9, samples=5,
    )  # fmt: skip
    made = {
        "uncached": Row(
            model="big", name="uncached", kind=Kind.UNCACHED, family="uncached", nfe=50, num_steps=50, seconds=40.0,
            speedup=1.0, cache_bytes=0,
        ),
        "lesa-n7": Row(
            model="big", name="lesa-n7", kind=Kind.CACHE, family="lesa", nfe=10, num_steps=50, work=10.2, seconds=9.0,
            speedup=4.4, cache_bytes=2**28,
        ),
    }  # fmt: skip
    found = ModelResults(
        model="big",
        num_steps=50,
        batch=1,
        properties={"parameters": 12_000_000_000},
        details={
            "uncached": Details(split_seconds={part: 4 * value for part, value in parts.items()}),
            "lesa-n7": Details(split_seconds=parts, bandwidth=bandwidth, plans={"cond": N7}),
        },
    )
    return Results(title="At full size", rows=list(made.values()), models=[found], environment={"device": "a GPU"})


def _model(name: str, made: tuple[_Made, ...], frames: int) -> tuple[list[Row], ModelResults]:
    random = np.random.default_rng(frames)
    pairs = [Pair(prompt=prompt, seed=seed) for prompt in PROMPTS for seed in (0, 1)]
    luck = random.normal(0, 2.5, len(pairs))
    details = {each.name: _details(each, luck, random) for each in made}
    images = {
        each.name: [
            _picture(index, details[each.name].scores["psnr_db"][index], frames, random) for index in range(SHOWN)
        ]
        for each in made
        if each.error is None
    }
    rows = [_row(name, each, details[each.name]) for each in made]
    sources = {
        each.name: Source(
            config="" if each.kind is not Kind.CACHE else f"predictor: {{kind: {each.family}}}\n",
            command=f"lesa bench reference.yaml --only {each.name}",
        )
        for each in made
    }
    return rows, ModelResults(
        model=name, num_steps=STEPS, batch=8, call={"height": 64, "width": 64}, pairs=pairs, details=details,
        sources=sources, frames=frames, images=images,
    )  # fmt: skip


def _row(model: str, made: _Made, details: Details) -> Row:
    bare = made.kind is Kind.UNCACHED
    known = made.error is None
    psnr = fmean(value for value in details.scores["psnr_db"] if value is not None) if made.psnr is not None else None
    distance = 0.0 if bare else 10 ** (-(psnr or 0) / 28)
    return Row(
        model=model,
        name=made.name,
        kind=made.kind,
        family=made.family,
        nfe=made.nfe,
        num_steps=made.nfe if made.kind is Kind.FEWER_STEPS else STEPS,
        work=made.work,
        psnr_db=psnr,
        ssim=1 - distance if known else None,
        rel_l2=distance if known else None,
        caption_score=0.44 - distance / 5 if known else None,
        lpips=2 * distance if known else None,
        seconds=0.238 / made.speedup if made.speedup else None,
        speedup=made.speedup,
        flops=round(2.1e11 * (made.work or 0)) if known else None,
        cache_bytes=round(made.cache_mib * 2**20) if known else None,
        peak_bytes=round((40 + made.cache_mib) * 2**20) if known else None,
        settings={"threshold": 0.12} if made.kind is Kind.PEER else {},
        note=made.note,
        error=made.error,
    )


def _details(made: _Made, luck: NDArray[np.float64], random: np.random.Generator) -> Details:
    if made.psnr is None:
        return Details(scores={"psnr_db": [None] * len(luck)})
    since = 0
    errors: list[float | None] = []
    for step, letter in enumerate(made.plan):
        since = 0 if letter == "F" else since + 1
        value = 10 ** (-made.psnr / 22) * (0.05 + step / len(made.plan)) * (1 + 0.3 * since)
        errors.append(value if step > 2 else 0.0)
    return Details(
        scores={"psnr_db": (made.psnr + luck + random.normal(0, 0.8, len(luck))).tolist()},
        plans={"cond": made.plan, "uncond": made.plan} if made.plan else {},
        step_rel_l2=errors,
    )


def _picture(index: int, psnr_db: float | None, frames: int, random: np.random.Generator) -> str:
    """A disc that moves, as far from its uncached self as the PSNR says."""
    height, width = (64, 64) if frames == 1 else (32, 48)
    y, x = np.mgrid[:height, :width]
    colours = np.random.default_rng(100 + index).random((2, 3))
    film = []
    for frame in range(frames):
        middle = width * (0.3 + 0.4 * frame / max(frames - 1, 1))
        disc = (x - middle) ** 2 + (y - height / 2) ** 2 < (height / 3.2) ** 2
        still = np.where(disc[..., None], colours[0], colours[1] * (0.6 + 0.4 * y[..., None] / height))
        if psnr_db is not None:
            still = still + random.normal(0, 10 ** (-psnr_db / 20), still.shape)
        film.append(still)
    pixels = (np.concatenate(film, axis=1).clip(0, 1) * 255).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
