"""How numbers are written on the page."""

from __future__ import annotations

#: Shown where nothing was measured.
NOTHING = "–"
_MINUS = "−"


def decimals(value: float, digits: int) -> str:
    """A number with a given number of decimals, and a real minus sign."""
    return f"{value:.{digits}f}".replace("-", _MINUS)


def gain(value: float) -> str:
    """A difference in decibels with its sign; small ones get a second decimal."""
    return f"{value:+.{2 if abs(value) < 1 else 1}f}".replace("-", _MINUS)


def ends(low: float, high: float) -> str:
    """The ends of an interval; without signs where both are above 0."""
    texts = [gain(low), gain(high)]
    return " and ".join(text.removeprefix("+") for text in texts) if low > 0 else " and ".join(texts)


def counted(number: int, what: str) -> str:
    """`1 prompt`, `2 prompts`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def steps(value: float) -> str:
    """A number of steps, whole or with one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def times(value: float) -> str:
    """A factor, such as `4.1x` with a proper sign."""
    return f"{value:.2f}×"


def seconds(value: float) -> str:
    """Seconds with three significant digits."""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def size(value: float) -> str:
    """Bytes in MiB or GiB."""
    if value <= 0:
        return "0"
    mib = value / 2**20
    return f"{mib / 1024:.2f} GiB" if mib >= 1024 else f"{mib:.0f} MiB" if mib >= 100 else f"{mib:.2f} MiB"


def operations(value: float) -> str:
    """Floating-point operations in the unit that fits."""
    for unit, factor in (("P", 1e15), ("T", 1e12), ("G", 1e9)):
        if value >= factor:
            return f"{value / factor:.2f} {unit}"
    return f"{value / 1e6:.2f} M"
