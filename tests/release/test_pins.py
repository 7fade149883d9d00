"""requirements-hashed.txt has the versions of constraints.txt, and hashes of each; each takes our oldest Python."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution

from packaging.specifiers import SpecifierSet

from tests.release.clean import ROOT, project
from tests.release.licences import name_of

_PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)( ;)?", re.MULTILINE)
_HASHED = (ROOT / "requirements-hashed.txt").read_text("utf-8")


def pins(text: str) -> dict[str, tuple[str, bool]]:
    """Name -> version, and whether it is for some platforms only."""
    return {name_of(name): (version, bool(marker)) for name, version, marker in _PIN.findall(text)}


def test_the_hashed_file_has_what_is_pinned_and_no_other_version() -> None:
    pinned, hashed = pins((ROOT / "constraints.txt").read_text("utf-8")), pins(_HASHED)
    # What other platforms need besides, such as torch's CUDA libraries, is in the hashed file alone.
    ours = {name: version for name, (version, elsewhere) in hashed.items() if name in pinned or not elsewhere}
    assert ours == {name: version for name, (version, _) in pinned.items()}, "constraints.txt changed: `make hashes`"


def test_every_pin_has_hashes_and_nothing_names_a_registry() -> None:
    parts = re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", _HASHED, flags=re.MULTILINE).strip())
    assert len(parts) == len(pins(_HASHED))
    assert [part for part in parts if not re.search(r"\\\n    --hash=sha256:[0-9a-f]{64}", part)] == []
    assert not re.search(r"https?://|^--", _HASHED, re.MULTILINE)


def asked_python(name: str, version: str) -> str | None:
    """What a pinned package says of Python; None where this version of it is not installed here."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    return (found.metadata.get("Requires-Python") or "") if found.version == version else None


def test_every_pin_takes_the_oldest_python() -> None:
    """Debian 12 has Python 3.11.2, and pip installs nothing that asks for 3.11.5."""
    oldest = project(ROOT)["requires-python"].removeprefix(">=") + ".0"
    pinned = pins((ROOT / "constraints.txt").read_text("utf-8"))
    asked = {name: asked_python(name, version) for name, (version, _) in pinned.items()}
    known = {name: SpecifierSet(each) for name, each in asked.items() if each is not None}
    assert len(known) > 100
    assert {name: str(each) for name, each in known.items() if oldest not in each} == {}
