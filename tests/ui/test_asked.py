from __future__ import annotations

import pytest

from lesa_framework.errors import ConfigError
from lesa_framework.ui.asked import Asked, Sampled, asked


def test_a_form_becomes_what_is_asked_for() -> None:
    found = asked("m", "  a ring ", 3.0, 10.0, "automatic", 4.0)
    assert found == Asked(Sampled("m", "a ring", 3, 10), "automatic", 4.0)


@pytest.mark.parametrize(
    ("prompt", "seed", "steps", "message"),
    [
        (" \n", 0, 10, "Prompt: is empty. Say what to draw."),
        ("a" * 10_001, 0, 10, "Prompt: has 10,001 characters. At most 10,000 are read."),
        ("a", None, 10, "Seed: is empty. Give a whole number from 0 to 9,007,199,254,740,992."),
        ("a", 1e20, 10, "Seed: is too large. Give a whole number from 0 to 9,007,199,254,740,992."),
        ("a", -1, 10, "Seed: -1 is not a whole number"),
        ("a", 0.5, 10, "Seed: 0.5 is not a whole number"),
        ("a", float("inf"), 10, "Seed: is too large. Give a whole number from 0 to"),
        ("a", float("nan"), 10, "Seed: nan is not a whole number"),
        ("a", 0, 10_001, "Steps: is too large. Give a whole number from 2 to 10,000."),
        ("a", 0, 1, "Steps: 1 is not a whole number from 2 to 10,000."),
    ],
)
def test_a_form_that_cannot_be_run(prompt: str, seed: float | None, steps: float, message: str) -> None:
    with pytest.raises(ConfigError, match="^" + message.replace(".", r"\.")):
        asked("m", prompt, seed, steps, "automatic", 5)
