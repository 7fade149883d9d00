from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lesa_framework.errors import ConfigError
from lesa_framework.measure.page.from_evaluation import from_evaluation, read_evaluation
from lesa_framework.measure.results import Kind
from lesa_framework.measure.rows import Pair, PairDetails, Results, Row


def _row(name: str, nfe: int, psnr: float | None) -> Row:
    return Row(
        name=name, nfe=nfe, num_steps=50, psnr_db=psnr, ssim=0.9, rel_l2=0.1, caption_score=None, seconds=1.0,
        speedup=2.0, cache_bytes=7,
    )  # fmt: skip


def _details(*psnr: float) -> PairDetails:
    return PairDetails(
        psnr_db=list(psnr), ssim=[], rel_l2=[], caption_score=[], seconds=[], plans={"cond": "FP"}, fallbacks={}
    )


RESULTS = Results(
    model="m",
    num_steps=50,
    rows=[_row("uncached", 50, None), _row("mine", 10, 30.0), _row("fewer_steps_10", 10, 25.0), _row("odd", 8, 9.0)],
    pairs=[Pair(prompt="a", seed=0), Pair(prompt="b", seed=0)],
    details={"mine": _details(29.0, 31.0), "fewer_steps_10": _details(25.0, 25.0)},
    configs={"mine": "predictor: {kind: taylorseer}\n", "odd": "[no: configuration"},
    command="lesa eval mine.yaml",
    notes=["a note"],
)


def test_rows_become_rows_that_compete_at_what_they_computed() -> None:
    found = from_evaluation(RESULTS)
    assert [(row.kind, row.family, row.target_nfe) for row in found.rows] == [
        (Kind.UNCACHED, "uncached", 50),
        (Kind.CACHE, "taylorseer", 10),
        (Kind.FEWER_STEPS, "fewer_steps", 10),
        (Kind.CACHE, "cache", 8),
    ]
    assert found.rows[1].cache_bytes == 7
    assert found.models[0].details["mine"].plans == {"cond": "FP"}
    assert found.models[0].sources["mine"].config == RESULTS.configs["mine"]
    assert (found.command, found.notes) == (RESULTS.command, RESULTS.notes)
    (difference,) = found.differences
    assert (difference.ours, difference.theirs, difference.mean_db) == ("mine", "fewer_steps_10", 5.0)


def test_pictures_and_videos_are_embedded() -> None:
    pictures = from_evaluation(RESULTS, {"mine": torch.rand(2, 3, 4, 4)}).models[0]
    assert pictures.frames == 1
    assert [uri.split(",")[0] for uri in pictures.images["mine"]] == ["data:image/webp;base64"] * 2
    assert from_evaluation(RESULTS, {"mine": torch.rand(2, 5, 3, 4, 4)}).models[0].frames == 5


def test_results_files_are_read_and_others_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(RESULTS.model_dump_json())
    assert read_evaluation(path) == from_evaluation(RESULTS)
    path.write_text(json.dumps({"rows": 3}))
    with pytest.raises(ConfigError, match="is not a results file"):
        read_evaluation(path)
