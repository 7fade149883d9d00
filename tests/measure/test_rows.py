from __future__ import annotations

from lesa_framework.measure.rows import Results, Row, best_per_nfe


def row(name: str, nfe: int, psnr: float | None) -> Row:
    return Row(
        name=name, nfe=nfe, num_steps=50, psnr_db=psnr, ssim=0.9, rel_l2=0.1, caption_score=None, seconds=1.0,
        speedup=2.0, cache_bytes=0,
    )  # fmt: skip


ROWS = [row("uncached", 50, None), row("mine-n7", 10, 20.0), row("yours-n7", 10, 22.0), row("fewer_steps_10", 10, 25.0)]


def test_keys_are_the_documented_ones() -> None:
    assert list(Row.model_fields) == [
        "name", "nfe", "num_steps", "psnr_db", "ssim", "rel_l2", "caption_score", "seconds", "speedup", "cache_bytes",
    ]  # fmt: skip


def test_results_survive_a_file() -> None:
    results = Results(model="m", num_steps=50, rows=ROWS)
    assert Results.model_validate_json(results.model_dump_json()) == results
    assert results.row("mine-n7").nfe == 10


def test_a_plain_run_can_win() -> None:
    assert best_per_nfe(ROWS) == {"fewer_steps_10"}
