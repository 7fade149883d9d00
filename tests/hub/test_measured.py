"""A results file on a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lesa_framework as lesa
from lesa_framework import CardFacts, ConfigError
from lesa_framework.measure.details import MetricInfo
from lesa_framework.measure.results import Kind, ModelResults, Pair, Results, Row


def row(name: str, kind: Kind = Kind.CACHE, nfe: int = 4, model: str = "owner/model", **more: Any) -> Row:
    values = {"model": model, "name": name, "kind": kind, "family": "any", "nfe": nfe, "num_steps": 12, **more}
    return Row.model_validate({"psnr_db": None, "ssim": None, "rel_l2": None, **values})


ROWS = (
    row("uncached", Kind.UNCACHED, 12, seconds=3.0, timing_noise=0.5),
    row("mine", psnr_db=33.456, ssim=0.9712, seconds=1.2, speedup=2.5),
    row("slow|er", nfe=6, psnr_db=40.0),
    row("broken", error="it broke"),
    row("fewer_steps_4", Kind.FEWER_STEPS, num_steps=4, psnr_db=20.0),
)


def results(file: Path, rows: tuple[Row, ...] = ROWS) -> Path:
    made = Results(
        rows=[*rows],
        models=[
            ModelResults(model=model, num_steps=12, batch=1, pairs=[Pair(prompt="secret", seed=0)] * 2)
            for model in dict.fromkeys(each.model for each in rows)
        ],
        metrics={
            "psnr_db": MetricInfo(heading="PSNR, dB", summary="", higher_is_better=True, digits=2),
            "ssim": MetricInfo(heading="SSIM", summary="", higher_is_better=True),
        },
        environment={"device": "NVIDIA H200", "precision": "bfloat16", "torch": "2.13.0", "machine": "mine"},
        command="lesa eval /home/me/mine.yaml",
    )
    file.write_text(made.model_dump_json())
    return file


def card(made: Path, tmp_path: Path, facts: CardFacts) -> str:
    return (lesa.save_pretrained(lesa.load_config(made), tmp_path / "out", facts) / "README.md").read_text()


def test_its_row_stands_beside_the_uncached_run_and_as_many_plain_steps(made: Path, tmp_path: Path) -> None:
    text = card(made, tmp_path, CardFacts(metrics={"LPIPS": 0.3}, results=results(tmp_path / "results.json")))
    assert "| LPIPS | 0.3 |" in text
    table = text[text.index("|  | NFE ") :].splitlines()
    assert table[:5] == [
        "|  | NFE | PSNR, dB | SSIM | s / sample | speed-up |",
        "| --- | --- | --- | --- | --- | --- |",
        "| this cache | 4 | 33.46 | 0.971 | 1.200 | ~2.50× |",
        "| uncached | 12 | – | – | ~3.000 | – |",
        "| 4 plain steps | 4 | 20.00 | – | – | – |",
    ]
    assert (
        "owner/model: 12 steps, means over 2 samples, NVIDIA H200, bfloat16, torch 2.13.0; times with ~ are noisy."
        in text
    )
    assert not any(word in text for word in ("/home/me", "secret", "machine"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("min", "it has no cache 'min'. Caches: mine, slow|er, broken. Name the row, or measure the configuration"),
        ("slow|er", "'slow|er' computed 6 of 12 steps, and this configuration computes 4 of 12"),
        ("broken", "'broken' has no numbers, because it failed: it broke"),
        ("uncached", "it has no cache 'uncached'"),
    ],
)
def test_another_row_is_refused_and_nothing_is_written(made: Path, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        card(made, tmp_path, CardFacts(results=results(tmp_path / "results.json"), row=name))
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


def test_of_several_models_it_is_that_of_the_fit(made: Path, tmp_path: Path) -> None:
    file = results(tmp_path / "r.json", (*ROWS, row("mine", model="/home/me/model", psnr_db=11.0)))
    text = card(made, tmp_path, CardFacts(results=file))  # it was fitted to that folder
    assert "| this cache | 4 | 11.00 |" in text
    assert "/home/me" not in text
    with pytest.raises(ConfigError, match=r"'mine' was measured on owner/model, other\. Give a file of one model"):
        card(made, tmp_path, CardFacts(results=results(tmp_path / "r.json", (ROWS[1], row("mine", model="other")))))


def test_a_file_that_is_none(made: Path, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(ConfigError, match="its schema_version is 1"):
        card(made, tmp_path, CardFacts(results=str(tmp_path / "r.json")))


def test_what_differs_between_the_models_of_a_file_is_told_of_its_own(made: Path, tmp_path: Path) -> None:
    file = results(tmp_path / "results.json")
    found = Results.model_validate_json(file.read_text())
    model = found.models[0].model_copy(update={"properties": {"precision": "float32"}})
    kept = {key: value for key, value in found.environment.items() if key != "precision"}
    file.write_text(found.model_copy(update={"models": [model], "environment": kept}).model_dump_json())
    assert "NVIDIA H200, float32, torch 2.13.0" in card(made, tmp_path, CardFacts(results=file))
