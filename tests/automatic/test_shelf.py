from __future__ import annotations

import pytest

import lesa_framework.automatic.shelf as shelf_
from lesa_framework import ConfigError, LesaWarning
from lesa_framework.automatic.shelf import find_weights
from tests.automatic.shelves import put, run_of


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch, tmp_path):
    """No folder of the machine's user."""
    monkeypatch.delenv("LESA_WEIGHTS", raising=False)
    monkeypatch.setattr(shelf_, "DEFAULT_FOLDER", tmp_path / "usual")


def mine(found):
    return [each.name for each in found if each.source != "preset"]


def test_shipped_presets_with_weights():
    found = {each.name: each for each in find_weights()}
    assert found["ref-flux-lesa-n7"].source == "preset"
    assert found["ref-flux-lesa-n7"].drift_db > 10
    assert "ref-flux-reuse-n7" not in found


def test_a_folder(tmp_path):
    put(tmp_path / "mine", "one", run_of(), drift_db=None)
    (tmp_path / "mine" / "plain.yaml").write_text("schedule: {kind: always}\npredictor: {kind: reuse}\n")
    found = [each for each in find_weights(tmp_path / "mine") if each.source != "preset"]
    assert [(each.name, each.drift_db, each.source) for each in found] == [("one", None, str(tmp_path / "mine"))]
    assert found[0].strategy is found[0].strategy


def test_a_closeness_beyond_all_numbers_is_none(tmp_path):
    put(tmp_path, "one", run_of(), drift_db=10**400)
    (found,) = [each for each in find_weights(tmp_path) if each.source != "preset"]
    assert found.drift_db is None


def test_weights_for_a_device_that_cannot_keep_features(tmp_path):
    file = put(tmp_path, "one", run_of())
    file.write_text(f"{file.read_text()}engine: {{history: {{device: meta}}}}\n")
    found = next(each for each in find_weights(tmp_path) if each.source != "preset")
    with pytest.raises(ConfigError, match="'meta' cannot keep features on this machine"):
        _ = found.strategy


def test_the_variable_and_the_usual_folder(tmp_path, monkeypatch):
    put(tmp_path / "usual", "usual", run_of())
    put(tmp_path / "other", "other", run_of())
    assert mine(find_weights()) == ["usual"]
    monkeypatch.setenv("LESA_WEIGHTS", str(tmp_path / "other"))
    assert mine(find_weights()) == ["other"]
    assert mine(find_weights(tmp_path / "usual")) == ["usual"]


def test_the_usual_folder_need_not_exist():
    assert mine(find_weights()) == []


@pytest.mark.parametrize("name", ["nowhere", "", "~nobody-at-all/weights", "a\x00b"])
def test_a_folder_that_does_not_exist(name, monkeypatch):
    with pytest.raises(ConfigError, match=r"^weights: there is no folder '.*Name one with configurations"):
        find_weights(name)
    if "\x00" not in name and name:
        monkeypatch.setenv("LESA_WEIGHTS", name)
        with pytest.raises(ConfigError, match=r"^LESA_WEIGHTS: there is no folder"):
            find_weights()


def test_files_that_cannot_be_read_are_named_and_left_out(tmp_path):
    put(tmp_path, "good", run_of())
    put(tmp_path, "lonely", run_of())
    (tmp_path / "lonely.safetensors").unlink()
    (tmp_path / "notes.yaml").write_text("just: notes\n")
    with pytest.warns(LesaWarning) as warned:
        assert mine(find_weights(tmp_path)) == ["good"]
    messages = [str(warning.message) for warning in warned]
    assert len(messages) == 2
    assert messages[0].startswith("weights: lonely.yaml is left out: ")
    assert messages[1].startswith("weights: notes.yaml is left out: just: unknown section.")
