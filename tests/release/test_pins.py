"""requirements-hashed.txt has the versions of constraints.txt, and hashes of each."""

from __future__ import annotations

import re

from tests.release.clean import ROOT
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
