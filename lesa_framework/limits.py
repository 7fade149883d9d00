"""How much one run or one benchmark may be asked for: more would never end, or not fit into memory."""

from __future__ import annotations

from typing import Final

from lesa_framework.errors import ConfigError

#: Steps of the sampler; 50 are usual, 1000 are as many as any model was trained with.
MAX_STEPS: Final = 10_000
#: Prompts that are drawn.
MAX_PROMPTS: Final = 10_000
#: Pairs of a prompt and a seed.
MAX_PAIRS: Final = 1_000_000


def check_pairs(prompts: int, seeds: int, what: str) -> None:
    """Refuse more pairs of a prompt and a seed than any run could work through.

    Args:
        prompts: How many prompts.
        seeds: How many seeds for each.
        what: What asks for them, for the message.

    Raises:
        ConfigError: Too many.
    """
    if prompts * seeds > MAX_PAIRS:
        raise ConfigError(
            f"{what}: {prompts:,} prompts with {seeds:,} seeds each are more than the {MAX_PAIRS:,} samples that one "
            "command makes. Ask for fewer."
        )
