"""The licences of all that a user's installation brings: `python -m tests.release.licences` lists them.

They are read from the metadata of what is installed here, for the core and every extra but `dev` and `docs`.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from importlib.metadata import PackageMetadata, distribution

from packaging.requirements import Requirement

from tests.release.clean import ROOT, project

#: SPDX identifiers of licences that ask for a notice, or (MPL-2.0) for the source of files that we do not change.
ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "HPND", "ISC",
        "LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
    }
)  # fmt: skip
#: How classifiers and older metadata write them. "BSD" does not say which; each is as good to us as the other.
SPELLINGS = {
    "Apache": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
#: Packages whose metadata names none, with what the licence file in them says.
READ_BY_HAND = {"cache-dit": "Apache-2.0"}
#: NVIDIA's libraries come with torch's builds for CUDA, under NVIDIA's own terms. We do not pass them on.
NOT_OURS_TO_JUDGE = ("cuda-", "nvidia-")
#: Extras for people who change this repository.
_DEVELOPERS = {"dev", "docs"}
_OPERATORS = {"AND", "OR", "WITH"}


def name_of(package: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def brought() -> set[str]:
    """The packages that the core and its extras bring, as far as they are installed for this platform."""
    declared = project(ROOT)
    ours = declared["name"]
    lines = [*declared["dependencies"]]
    for extra, requirements in declared["optional-dependencies"].items():
        lines += [] if extra in _DEVELOPERS else requirements
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in lines]
    while waiting:
        one, asked = waiting.pop()  # a marker speaks of the extra of the package that has the requirement
        name = name_of(one.name)
        if name.startswith(ours) or not (one.marker is None or one.marker.evaluate({"extra": asked})):
            continue
        new = {(name, extra) for extra in ("", *one.extras)} - found
        found |= new
        waiting += [(Requirement(line), extra) for _, extra in new for line in distribution(name).requires or ()]
    return {name for name, _ in found}


def licences(package: str, metadata: PackageMetadata) -> list[str]:
    """The identifiers that a package names; empty when it names none.

    All alternatives of an expression count: somebody should look at a package that may also be had under GPL.
    """
    if package in READ_BY_HAND:
        return [READ_BY_HAND[package]]
    if expression := metadata["License-Expression"]:
        return _identifiers(expression)
    classifiers = [each for each in metadata.get_all("Classifier") or () if each.startswith("License :: ")]
    said = [each.rpartition(" :: ")[2] for each in classifiers] or _text(metadata)
    return [SPELLINGS.get(each, each) for each in said]


def _text(metadata: PackageMetadata) -> list[str]:
    text = (metadata["License"] or "").strip()
    return [text] if text in SPELLINGS else _identifiers(text)


def _identifiers(expression: str) -> list[str]:
    return [each for each in re.findall(r"[\w.+-]+", expression) if each not in _OPERATORS]


def refused(package: str, named: list[str]) -> list[str]:
    """What speaks against a package; empty when nothing does."""
    if package.startswith(NOT_OURS_TO_JUDGE):
        return []
    return [each for each in named if each not in ALLOWED] if named else ["no licence is named"]


def main() -> int:
    """Print every package with its licences, and how often each occurs; 1 if one is not allowed."""
    counts: Counter[str] = Counter()
    bad = 0
    for package in sorted(brought()):
        named = licences(package, distribution(package).metadata)
        against = refused(package, named)
        counts.update(set(named))
        bad += bool(against)
        print(f"{package:24} {', '.join(named)}{f'   NOT ALLOWED: {against}' if against else ''}")
    print("\n" + ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
