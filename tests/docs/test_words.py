"""One name a concept: docs/reference/glossary.md has them, and other words for the same do not occur on the pages."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import PAGES, ROOT

GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
#: Word -> what to write. Whole words; names in code, which stand between backticks, are somebody's own.
INSTEAD = {
    r"learners?": "trainable",
    r"scorers?": "metric",
    r"(?:cached|skipped|full) (?:time)?steps?": "predicted step, computed step",
    r"(?:transformer|hidden) layers? stack": "blocks",
    r"teachers?": "uncached run",
    r"baseline runs?": "uncached run",
    r"cache budgets?": "NFE",
    r"hit rates?": "NFE",
    r"closing (?:norm|module|layer)s?": "head",
}

AGREED = "Blocks Head Tap Feature History Schedule Stage Branch Step Trainable Metric NFE Work"


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"`[^`]*`", "", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("word", INSTEAD)
def test_no_other_word_for_a_concept(word: str) -> None:
    found = [
        f"{page.relative_to(ROOT)}: {match[0]!r}, write {INSTEAD[word]!r}"
        for page in PAGES
        for match in re.finditer(rf"\b{word}\b", prose(page.read_text("utf-8")), re.IGNORECASE)
    ]
    assert found == []


def test_each_concept_is_explained_once() -> None:
    terms = re.findall(r"^(\w.*)\n:", GLOSSARY.read_text("utf-8"), re.MULTILINE)
    names = [name for term in terms for name in term.split(", ")]
    assert len(names) == len(set(names))
    assert set(AGREED.split()) <= set(names)


def test_the_glossary_is_linked_from_where_people_begin() -> None:
    for page in ("index.md", "tutorials/getting-started.md", "explanation/concepts.md", "reference/index.md"):
        assert "glossary.md" in (ROOT / "docs" / page).read_text("utf-8"), page
