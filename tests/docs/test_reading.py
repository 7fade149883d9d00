from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.docs.reading import PAGE, described, page


def test_the_page_of_what_plugins_may_read_is_that_of_the_code():
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m tests.docs.reading"


def test_a_field_without_a_description_is_refused():
    @dataclass
    class Bare:
        """Nothing is said.

        Attributes:
            known: What it is.
        """

        known: int
        unknown: int

    with pytest.raises(ValueError, match=r"Bare\.unknown: the docstring does not say"):
        list(described(Bare))
