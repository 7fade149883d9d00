"""Which names may be a repository of the hub. Nothing here asks it."""

from __future__ import annotations

import io
import sys

import pytest
from huggingface_hub.utils import tqdm

from lesa_framework import ConfigError, load_config
from lesa_framework.config.repository import hub_bars


def refused(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(name)
    return str(caught.value)


def test_a_folder_is_not_taken_for_a_repository(tmp_path, monkeypatch):
    (tmp_path / "trained" / "flux").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "'trained/flux' is a folder without a config.yaml. Name a file in it, or a preset." in refused(
        "trained/flux"
    )


@pytest.mark.parametrize("name", ["me/a--b", "me/a..b", "me/a-", "me/a.", "-me/a", "me/a.git", "me/a.git@main"])
def test_names_that_the_hub_refuses_are_not_asked_for(name):
    assert "is neither a file nor a preset" in refused(name)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal, True), (io.StringIO, False)])
def test_bars_of_the_hub_are_for_terminals_and_checks_have_none(monkeypatch, stream, shown):
    monkeypatch.setattr(sys.modules[tqdm.__module__], "are_progress_bars_disabled", lambda *_: False)
    monkeypatch.setattr("sys.stderr", stream())
    for given in ({}, {"disable": None}):  # what the hub gives differs from bar to bar
        with hub_bars(disable=None)(total=1, **given) as bar:
            assert bar.disable is not shown
        assert hub_bars(disable=True)(total=1, **given).disable
