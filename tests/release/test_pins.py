"""requirements-hashed.txt has the versions of constraints.txt, and hashes of each."""

from __future__ import annotations

import re

from tests.release.clean import ROOT
from tests.release.licences import name_of

_PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)
_HASHED = (ROOT / "requirements-hashed.txt").read_text("utf-8")
#: What torch needs on other platforms than the one that constraints.txt was made on.
_ELSEWHERE = re.compile(r"^(cuda-.*|nvidia-.*|triton|httpx2-jsfetch)$")


def pins(text: str) -> dict[str, str]:
    return {name_of(name): version for name, version in _PIN.findall(text)}


def test_the_hashed_file_has_what_is_pinned_and_no_other_version() -> None:
    pinned, hashed = pins((ROOT / "constraints.txt").read_text("utf-8")), pins(_HASHED)
    same = {name: version for name, version in hashed.items() if not _ELSEWHERE.match(name)}
    assert same == pinned, "constraints.txt was changed: run `make hashes`"


def test_every_pin_has_hashes_and_nothing_names_a_registry() -> None:
    parts = re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", _HASHED, flags=re.MULTILINE).strip())
    assert len(parts) == len(pins(_HASHED))
    assert [part for part in parts if not re.search(r"\\\n    --hash=sha256:[0-9a-f]{64}", part)] == []
    assert not re.search(r"https?://|^--", _HASHED, re.MULTILINE)
