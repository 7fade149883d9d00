from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lesa_framework.cli.threads import cpu_quota, respect_quota


@pytest.mark.parametrize(("text", "cores"), [("200000 100000\n", 2.0), ("max 100000\n", None), ("nonsense", None)])
def test_version_2(tmp_path: Path, text: str, cores: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("150000", 1.5), ("-1", None)])
def test_version_1(tmp_path: Path, quota: str, cores: float | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cpu_quota(tmp_path) == cores


def test_threads_are_only_ever_lowered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for text in ("200000 100000", "9900000 100000", "10000 100000", "max 100000"):
        (tmp_path / "cpu.max").write_text(text)
        respect_quota(tmp_path)
    assert chosen == [2, 8, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    (tmp_path / "cpu.max").write_text("100000 100000")
    respect_quota(tmp_path)
    assert chosen == [2, 8, 1]
