from __future__ import annotations

import pytest

from lesa_framework.files import whole_file, write_text


def fail_half_way(path):
    with whole_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError("disk full")


def test_a_file_is_written_with_its_folder(tmp_path):
    write_text(tmp_path / "deep" / "a.txt", "ĥ\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "ĥ\n".encode()


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError, match="disk full"):
        fail_half_way(tmp_path / "a.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"
