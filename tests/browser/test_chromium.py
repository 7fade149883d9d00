from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import NoBrowserError, find_chromium


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH; no browser is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    return tmp_path


def _program(path: Path) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_named_browser_comes_first(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chrome = _program(programs / "google-chrome")
    assert find_chromium() == chrome
    chromium = _program(programs / "chromium")
    assert find_chromium() == chromium
    monkeypatch.setenv("CHROMIUM", _program(programs / "mine"))
    assert find_chromium() == str(programs / "mine")


def test_without_a_browser_the_message_says_what_to_install(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoBrowserError, match=r"none of chromium, .* is on PATH.*apt-get install chromium"):
        find_chromium()
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(NoBrowserError, match="CHROMIUM=/nowhere/chromium is no program"):
        find_chromium()
