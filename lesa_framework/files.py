"""Files that are written completely or not at all, and text files that are read."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from lesa_framework.errors import ConfigError, LesaError

if sys.platform != "win32":
    import fcntl

__all__ = ["read_bytes", "read_text", "write_bytes", "write_text"]

#: What a path may lead to besides a regular file, in words.
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
#: The most bytes that are read of a text file; the largest results with images have a few tens of MiB.
_LARGEST: Final = 512 * 2**20
#: Where files are written before they get their names.
_PARTIAL: Final = ".lesa-*.partial"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, all or nothing; its folder is created when missing.

    Links are followed. The content is on the disk before it takes the place of what was there, so that neither an
    error nor a power failure leaves half a file. Several writers may write the same file; the last one wins. What a
    killed process was writing to the folder is removed.

    Args:
        path: The file to write: a regular file, or none yet. Its permissions follow the umask.
        content: What it will hold.

    Raises:
        ConfigError: Something other than a regular file is there.
        LesaError: It cannot be written, because the disk is full for example; what was there is unchanged.
    """
    target = output_file(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target.parent)
        while not _written(target, content):
            pass
    except OSError as error:
        raise _not_written(path, error) from error
    _sync_folder(target.parent)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file as [`write_bytes`][lesa_framework.files.write_bytes] does.

    Raises:
        ConfigError: Something other than a regular file is there.
        LesaError: It cannot be written; what was there is unchanged.
    """
    write_bytes(path, content.encode("utf-8"))


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file, and wait until it is on the disk.

    Args:
        path: The file; created when missing, with its folder.
        line: Without a line break. The break is written first: it ends a line that was being written when the program
            was stopped.

    Raises:
        ConfigError: Something other than a regular file is there.
        LesaError: It cannot be written.
    """
    target = output_file(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab") as file:
            file.write(b"\n" + line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _not_written(path, error) from error


def output_file(path: Path, option: str = "") -> Path:
    """The regular file that a path leads to when its links are followed; it need not exist yet.

    Args:
        path: What the user named.
        option: The option that named it, for messages.

    Raises:
        ConfigError: Something else is there, the file is read-only, or the path leads nowhere.
    """
    named = f"{option} {path}".lstrip()
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target
    except OSError as error:
        raise ConfigError(
            f"{named}: cannot be written ({error.strerror}). Name a place where you may write."
        ) from error
    if stat.S_ISDIR(mode):
        raise ConfigError(f"{named}: this is a folder. Name a file, for example one in it.")
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{named}: this is {_kind(mode)}, and only regular files are written. Name another file.")
    if not os.access(target, os.W_OK):
        raise ConfigError(f"{named}: this file is read-only. Name another file, or make it writable.")
    return target


def read_text(path: Path, name: str = "", hint: str = "Give a UTF-8 text file.") -> str:
    """The content of a UTF-8 text file.

    Args:
        path: A regular file; links are followed.
        name: What named it, for messages.
        hint: What to give instead, for messages.

    Raises:
        ConfigError: It is something else, cannot be read, is too large, or is not UTF-8.
    """
    content = read_bytes(path, name, hint)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise ConfigError(
            f"{f'{name} {path}'.lstrip()}: is not UTF-8 text: {error.reason} at line {line}, column {column}. {hint}"
        ) from error


def read_bytes(path: Path, name: str = "", hint: str = "Give a file.") -> bytes:
    """The content of a file.

    Args:
        path: A regular file; links are followed.
        name: What named it, for messages.
        hint: What to give instead, for messages.

    Raises:
        ConfigError: It is something else, cannot be read, or is too large.
    """
    named = f"{name} {path}".lstrip()
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe or a device might never end
            raise ConfigError(f"{named}: this is {_kind(found.st_mode)}, not a file. {hint}")
        if found.st_size > _LARGEST:
            raise ConfigError(f"{named}: has {found.st_size:,} bytes; at most {_LARGEST:,} are read. {hint}")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{named}: cannot be read ({reason}). {hint}") from error


def is_file(path: Path) -> bool:
    """Whether a regular file is there; False also for a name that no file system takes."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False also for a name that no file system takes."""
    try:
        return path.is_dir()
    except OSError:
        return False


def expanded(name: str | Path) -> Path:
    """A path whose `~` is the user's folder; one of an unknown user, or without a home, stays as it is."""
    return Path(os.path.expanduser(name))  # noqa: PTH111 - `Path.expanduser` fails there


def read_prompts(path: Path, name: str = "--prompts") -> list[str]:
    """The prompts of a file, one per line; empty lines are ignored.

    Args:
        path: A UTF-8 text file.
        name: The option that named it, for messages.

    Raises:
        ConfigError: The file cannot be read or holds no prompts.
    """
    prompts = [line.strip() for line in read_text(path, name).splitlines() if line.strip()]
    if not prompts:
        raise ConfigError(f"{name} {path}: holds no prompts. Write one on each line.")
    return prompts


def _kind(mode: int) -> str:
    return next((kind for matches, kind in _KINDS if matches(mode)), "something special")


def _not_written(path: Path, error: OSError) -> LesaError:
    return LesaError(
        f"{path}: cannot be written ({error.strerror or error}). Free some space or name another place; "
        "what was there before is unchanged."
    )


def _written(target: Path, content: bytes) -> bool:
    """Write a file in a place of its own and move it; False if another writer took it for abandoned before its lock."""
    # Of its own for each writer, and no longer than what any name may be.
    partial = target.with_name(_PARTIAL.replace("*", secrets.token_hex(8)))
    try:
        with partial.open("xb") as file:  # x: never a file or link that somebody else put there
            if not _lock(file, wait=True):
                return False
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform != "win32":
                partial.replace(target)  # before the lock ends
        if sys.platform == "win32":
            partial.replace(target)  # an open file cannot be moved there
    finally:
        partial.unlink(missing_ok=True)
    return True


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed processes were writing; nobody has a lock on it any more."""
    for partial in folder.glob(_PARTIAL):
        with suppress(OSError), partial.open("rb+") as file:
            if _lock(file, wait=False):
                partial.unlink()


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """Lock a file for as long as it is open; whether it is locked, or need not be, and still has its name."""
    if sys.platform == "win32":  # without such locks: what is abandoned stays
        return wait
    else:  # noqa: RET505 - so that mypy knows of the platform
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another one has it, or the file system has no locks
            return wait
        return os.fstat(file.fileno()).st_nlink > 0


def _sync_folder(folder: Path) -> None:
    """Make the new name durable too, where the system can."""
    if os.name == "posix":
        with suppress(OSError):  # some network file systems cannot; the content is safe all the same
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
