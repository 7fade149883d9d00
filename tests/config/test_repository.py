"""Which names may be a repository of the hub. Nothing here asks it."""

from __future__ import annotations

import pytest

from lesa_framework import ConfigError, load_config


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
