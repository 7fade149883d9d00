"""The samplers' part of docs/reference/matrix.md."""

from __future__ import annotations

from types import MappingProxyType

from tests.matrix.samplers import CALLERS, OUTSIDE, SAMPLERS, STEPS, Sampler, outcomes

MARKS = MappingProxyType({"cached": "✓", "refused": "refused", "computed": "computed", "-": "–"})
INTRODUCTION = """\
## Samplers of diffusers

Every sampler that diffusers ships, in a tiny model that is told its timesteps `t` or sigmas `σ` in each of the ways
that pipelines know. The first call of a run shows which it is.

✓ cached: every step is found, the plan is kept, the noise levels fall from near 1 · refused: an error names the sampler
before anything is cached · computed: nothing is cached, and a warning says so · – there is no such number.
"""


def sampler_head() -> list[str]:
    """The table's first two lines."""
    return [
        f"| Sampler | {' | '.join(f'`{name}`' for name in CALLERS)} | Noise levels of {STEPS} steps |",
        f"|---|{':-:|' * len(CALLERS)}---|",
    ]


def sampler_row(sampler: Sampler) -> str:
    """The sampler's line of the table."""
    found = outcomes(sampler)
    works = next((each for each in found.values() if each.word == "cached"), None)
    levels = "" if works is None else ", ".join(f"{level:.3g}" for level in (*works.sigmas[:3], works.sigmas[-2]))
    levels = levels and ", …, ".join(levels.rsplit(", ", 1)) + (f" ({len(works.plan)} calls)" if works else "")
    return f"| `{sampler}` | {' | '.join(MARKS[each.word] for each in found.values())} | {levels} |"


def sampler_notes() -> list[str]:
    """Who tells what, what is outside, and what the messages say."""
    said = {each.word: each.message for sampler in SAMPLERS for each in outcomes(sampler).values() if each.message}
    found = [outcomes(sampler) for sampler in SAMPLERS]
    never = [f"- {each['t / 1000'].message}" for each in found if "cached" not in {one.word for one in each.values()}]
    return [
        *(f"- `{name}`: {who}." for name, (_, who) in CALLERS.items()),
        *(f"- `{name}` is not for these models: it {why}." for name, why in sorted(OUTSIDE.items())),
        "",
        "A sampler that is never ✓ says:",
        "",
        *never,
        "",
        "Where every call is computed, as with a scheduler that does not step, the warning is:",
        "",
        f"- {said['computed']}",
    ]


def samplers_part() -> str:
    """The page's part."""
    lines = [*sampler_head(), *map(sampler_row, SAMPLERS), "", *sampler_notes()]
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n"
