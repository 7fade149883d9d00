from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from lesa_framework import ConfigError, LesaError
from lesa_framework.files import append_line, output_file, read_prompts, read_text, write_bytes, write_text


def bind(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)


#: What is no regular file: its name, and how to make it.
SPECIAL = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a socket": lambda path: bind(os.path.relpath(path)),
    "a device": lambda path: path.symlink_to("/dev/null"),
}


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """In the block, no file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=SPECIAL)
def special(request, tmp_path, monkeypatch) -> tuple[str, Path]:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    path = tmp_path / "special"
    SPECIAL[request.param](path)
    return request.param, path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folder(tmp_path):
    write_text(tmp_path / "deep" / "a.txt", "ĥ\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "ĥ\n".encode()


@pytest.mark.parametrize("old", [None, "old"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, old):
    path = tmp_path / "a.bin"
    if old is not None:
        write_text(path, old)
    with full_disk(1000), pytest.raises(LesaError, match=r"a\.bin: cannot be written \(File too large\)") as caught:
        write_bytes(path, b"x" * 5000)
    assert type(caught.value) is LesaError, "exit code 1"
    assert names(tmp_path) == ([] if old is None else ["a.bin"])
    assert old is None or path.read_text() == old


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    def stopped(descriptor: int) -> None:
        raise KeyboardInterrupt

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_only_regular_files_are_written(special):
    kind, path = special
    before = path.lstat()
    for write in (lambda: write_text(path, "new"), lambda: append_line(path, b"new"), lambda: output_file(path)):
        with pytest.raises(ConfigError, match=kind):
            write()
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert names(path.parent) == ["special"]


def test_a_folder_is_answered_with_no_name_that_may_be_of_another_sort(tmp_path):
    with pytest.raises(ConfigError, match=r"^--report .*: this is a folder\. Name a file, for example one in it\.$"):
        output_file(tmp_path, "--report")


def test_only_regular_files_are_read_and_never_waited_for(special):
    kind, path = special
    with pytest.raises(ConfigError, match=f"--prompts .*special: this is {kind}"):
        read_prompts(path)


@pytest.mark.parametrize("exists", [True, False])
def test_links_are_followed(tmp_path, exists):
    target, link = tmp_path / "there" / "a.txt", tmp_path / "link"
    target.parent.mkdir()
    if exists:
        target.write_text("old")
    (tmp_path / "between").symlink_to("there/a.txt")
    link.symlink_to("between")
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert names(target.parent) == ["a.txt"]


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_text(tmp_path / "loop", "new")


def test_a_read_only_file_is_refused(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path).name == "a.txt" and mode == os.W_OK))  # root
    with pytest.raises(ConfigError, match="read-only"):
        write_text(tmp_path / "a.txt", "new")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~umask


def test_a_name_may_have_the_length_that_the_system_allows(tmp_path):
    write_text(tmp_path / ("a" * 255), "a")
    assert names(tmp_path) == ["a" * 255]


def write_often(path: Path, letter: str) -> None:
    for _ in range(30):
        write_bytes(path, letter.encode() * 10_000)


def test_two_writers_do_not_collide(tmp_path):
    path = tmp_path / "a.bin"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(path, letter)) for letter in "ab"]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_bytes() if path.exists() else b"a" * 10_000)
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert seen <= {b"a" * 10_000, b"b" * 10_000}
    assert names(tmp_path) == ["a.bin"]


def test_lines_are_added_each_on_its_own(tmp_path):
    append_line(tmp_path / "deep" / "lines", b"one")
    append_line(tmp_path / "deep" / "lines", b"two")
    assert (tmp_path / "deep" / "lines").read_bytes() == b"\none\ntwo"


@pytest.mark.parametrize("old", [b"", b"\none"])
def test_a_full_disk_is_told_and_the_lines_before_it_and_after_it_can_be_read(tmp_path, old):
    path = tmp_path / "lines"
    path.write_bytes(old)
    with full_disk(1000), pytest.raises(LesaError, match=r"lines: cannot be written \(File too large\)") as caught:
        append_line(path, b"x" * 5000)
    assert type(caught.value) is LesaError, "exit code 1"
    append_line(path, b"two")
    *before, half, last = path.read_bytes().split(b"\n")
    assert (before, last) == (old.split(b"\n"), b"two")
    assert half == b"x" * len(half), "of the one that failed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nbc\xff\xfe", "invalid start byte at line 2, column 3"),
        (None, "No such file"),
        (b"\n \n", "holds no prompts"),
    ],
)
def test_prompts_that_cannot_be_read(tmp_path, content, message):
    if content is not None:
        (tmp_path / "prompts.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_prompts(tmp_path / "prompts.txt")


def test_prompts_of_a_file_with_a_byte_order_mark(tmp_path):
    (tmp_path / "prompts.txt").write_bytes(b"\xef\xbb\xbfa ring\r\n\r\n  a box \n")
    assert read_prompts(tmp_path / "prompts.txt") == ["a ring", "a box"]


def test_a_file_beyond_all_measure_is_not_read(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ConfigError, match="at most"):
        read_text(tmp_path / "huge")


def test_what_a_killed_process_was_writing_is_removed_by_the_next_one(tmp_path):
    code = "import os, sys, signal; from pathlib import Path; from lesa_framework.files import write_bytes\n"
    code += "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\nwrite_bytes(Path(sys.argv[1]), b'new')"
    (tmp_path / "a.bin").write_bytes(b"old")
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "a.bin"], check=False).returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    write_text(tmp_path / "b.txt", "b")
    assert names(tmp_path) == ["a.bin", "b.txt"]


def test_what_another_writer_is_writing_is_left_to_it(tmp_path, monkeypatch):
    inside: list[list[str]] = []

    def meanwhile(descriptor: int) -> None:
        monkeypatch.undo()
        write_text(tmp_path / "b.txt", "b")
        inside.append(names(tmp_path))

    monkeypatch.setattr(os, "fsync", meanwhile)
    write_text(tmp_path / "a.txt", "a")
    assert len(inside[0]) == 2
    assert names(tmp_path) == ["a.txt", "b.txt"]


def test_a_writer_whose_file_was_taken_for_abandoned_begins_again(tmp_path, monkeypatch):
    taken: list[str] = []

    def lock(file: IO[bytes], how: int) -> None:
        if not taken:
            taken.append(file.name)
            Path(file.name).unlink()

    monkeypatch.setattr(fcntl, "flock", lock)
    write_text(tmp_path / "a.txt", "a")
    assert taken
    assert (tmp_path / "a.txt").read_text() == "a"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    def refuse(file: IO[bytes], how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".lesa-0.partial").write_bytes(b"half")  # perhaps somebody is writing it
    write_text(tmp_path / "a.txt", "a")
    assert names(tmp_path) == [".lesa-0.partial", "a.txt"]
