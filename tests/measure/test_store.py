from __future__ import annotations

import pytest
import torch

from lesa_framework import ConfigError
from lesa_framework.measure.cells import Cell
from lesa_framework.measure.store import Store

HERE, THERE = {"part": "run", "pairs": [("a", 1)]}, {"part": "run", "pairs": [("a", 2)]}


def test_a_cell_is_found_by_the_next_start(tmp_path):
    store = Store(tmp_path / "cells")
    run = Cell(launch="one", seconds=0.1, scores={"psnr_db": [30.000000000000004, None]}, images=["data:,"])
    store.keep(HERE, run)
    again = Store(tmp_path / "cells")
    assert again.find(HERE) == run, "to the last digit"
    assert again.find(THERE) is None
    assert len(again) == 1


def test_what_was_being_written_when_the_program_was_killed_is_lost_and_nothing_else(tmp_path):
    store = Store(tmp_path / "cells")
    store.keep(HERE, Cell(note="first"))
    store.keep(THERE, Cell(note="second"))
    lines = tmp_path / "cells" / "cells.jsonl"
    lines.write_bytes(lines.read_bytes()[:-7])
    again = Store(tmp_path / "cells")
    assert again.find(HERE) == Cell(note="first")
    assert again.find(THERE) is None
    again.keep(THERE, Cell(note="anew"))
    assert Store(tmp_path / "cells").find(THERE) == Cell(note="anew")


def test_a_cell_in_another_form_is_measured_again(tmp_path):
    store = Store(tmp_path / "cells")
    store.keep(HERE, Cell(note="a choice"))
    lines = tmp_path / "cells" / "cells.jsonl"
    lines.write_text(lines.read_text().replace("note", "remark"))
    assert Store(tmp_path / "cells").find(HERE) is None


def test_tensors_come_back_bit_for_bit(tmp_path):
    store = Store(tmp_path / "cells")
    images = torch.randn(2, 3, 4, 4).transpose(2, 3)
    store.keep(HERE, Cell(), {"images": images})
    again = Store(tmp_path / "cells")
    found = again.find_tensors(HERE)
    assert found is not None
    assert torch.equal(found["images"], images)
    assert again.find_tensors(THERE) is None


def test_a_damaged_file_of_tensors_is_made_again(tmp_path):
    store = Store(tmp_path / "cells")
    store.keep(HERE, Cell(), {"images": torch.ones(2)})
    (path,) = (tmp_path / "cells").glob("*.safetensors")
    path.write_bytes(b"")
    assert store.find_tensors(HERE) is None


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="not the folder of a stopped benchmark"):
        Store(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_clearing_removes_the_folder_and_forgets(tmp_path):
    store = Store(tmp_path / "cells")
    store.keep(HERE, Cell())
    store.clear()
    assert not (tmp_path / "cells").exists()
    assert store.find(HERE) is None


def test_without_a_folder_everything_is_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store()
    store.keep(HERE, Cell(note="first"), {"images": torch.ones(2)})
    assert store.find(HERE) == Cell(note="first")
    assert torch.equal(store.find_tensors(HERE)["images"], torch.ones(2))
    assert store.find_tensors(THERE) is None
    assert not list(tmp_path.iterdir())
    store.clear()
    assert store.find(HERE) is None
    assert store.find_tensors(HERE) is None


def test_clearing_leaves_what_others_put_into_the_folder(tmp_path):
    store = Store(tmp_path / "cells")
    store.keep(HERE, Cell())
    (tmp_path / "cells" / "thesis.tex").write_text("years of work")
    store.clear()
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["thesis.tex"]


def test_a_file_in_the_folders_place_is_left_alone(tmp_path):
    (tmp_path / "cells").write_text("years of work")
    with pytest.raises(ConfigError, match="not the folder of a stopped benchmark"):
        Store(tmp_path / "cells")


def test_a_store_is_used_up_when_every_cell_was_asked_for(tmp_path):
    first = Store(tmp_path / "cells")
    first.keep(HERE, Cell(note="first"))
    first.keep(THERE, Cell(note="second"))
    again = Store(tmp_path / "cells")
    assert not again.is_used_up
    again.find(HERE)
    assert not again.is_used_up
    again.find(THERE)
    assert again.is_used_up
