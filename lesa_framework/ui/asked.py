"""What a visitor of the page asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lesa_framework.errors import ConfigError, shown
from lesa_framework.limits import MAX_STEPS

#: The value of the method that chooses by itself.
AUTOMATIC: Final = "automatic"
#: The longest prompt, in characters; text encoders read far less.
_LONGEST: Final = 10_000
#: Beyond it browsers round.
_MAX_SEED: Final = 2**53


@dataclass(frozen=True)
class Sampled:
    """What the uncached run depends on: two that are equal make the same sample.

    Attributes:
        model: A name that the page offers.
        prompt: What to draw.
        seed: Seed of the noise.
        steps: Steps of the sampler.
    """

    model: str
    prompt: str
    seed: int
    steps: int


@dataclass(frozen=True)
class Asked:
    """One comparison: what is sampled, and the cache.

    Attributes:
        sample: What is sampled.
        method: A method's value; see [`methods`][lesa_framework.ui.methods].
        speedup: Steps of a run over computed steps; presets have steps of their own and do not use it.
    """

    sample: Sampled
    method: str = AUTOMATIC
    speedup: float = 5.0


def asked(model: str, prompt: str, seed: float | None, steps: float | None, method: str, speedup: float) -> Asked:
    """What a form holds, checked.

    Raises:
        ConfigError: A field is empty or out of range; the message begins with its label.
    """
    text = prompt.strip()
    if not text:
        raise ConfigError("Prompt: is empty. Say what to draw.")
    if len(text) > _LONGEST:
        raise ConfigError(f"Prompt: has {len(text):,} characters. At most {_LONGEST:,} are read.")
    sample = Sampled(model, text, _whole("Seed", seed, 0, _MAX_SEED), _whole("Steps", steps, 2, MAX_STEPS))
    return Asked(sample, method, speedup)


def _whole(label: str, given: float | None, least: int, most: int) -> int:
    wanted = f"a whole number from {least} to {most:,}"
    if given is None:
        raise ConfigError(f"{label}: is empty. Give {wanted}.")
    if given > most:  # not repeated: browsers have rounded a seed as large as that
        raise ConfigError(f"{label}: is too large. Give {wanted}.")
    if not least <= given or given != int(given):
        raise ConfigError(f"{label}: {shown(given)} is not {wanted}.")
    return int(given)
