"""What a results file says of a configuration, for its card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lesa_framework.errors import ConfigError, did_you_mean, shortened
from lesa_framework.measure.columns import NOISY, columns
from lesa_framework.measure.results import UNCACHED, Kind, Results, Row, fewer_steps_name
from lesa_framework.measure.results_file import read_results
from lesa_framework.words import amount

#: What is told of the machine, without which times mean nothing: key -> what is written before its value.
_MACHINE = {"device": "", "precision": "", "torch": "torch "}
#: Names that a message lists.
_LISTED = 12


@dataclass(frozen=True)
class Asked:
    """Which row of which file, and what it must be of.

    Attributes:
        file: A results file.
        row: The row's name.
        num_steps: Steps that the configuration is for; None where it takes any number.
        nfe: Its computed steps of a number of steps; None where they depend on the data.
        model: The model that it was fitted to, if that is known: for a file of several.
    """

    file: Path
    row: str
    num_steps: int | None
    nfe: Callable[[int], int | None]
    model: str | None


@dataclass(frozen=True)
class Measured:
    """A table: this row, the uncached run and as many plain steps; a sentence about it, and the model's name."""

    heading: tuple[str, ...]
    rows: list[tuple[str, ...]]
    about: str
    model: str


def measured(asked: Asked) -> Measured:
    """The table of a row.

    Raises:
        ConfigError: The file cannot be read, has no such row, has it of several models, or it is another
            configuration's.
    """
    results = read_results(asked.file)
    row = _row(results, asked)
    shown = columns(results)
    beside = [row, *(each for name in (UNCACHED, fewer_steps_name(row.nfe)) if (each := _of(results, row, name)))]
    return Measured(
        ("", *(column.heading for column in shown)),
        [("this cache" if each is row else _words(each), *(column.text(each) for column in shown)) for each in beside],
        _about(results, row, is_noisy=any(each.noisy_speedup for each in beside)),
        row.model,
    )


def _row(results: Results, asked: Asked) -> Row:
    rows = [row for row in results.rows if row.kind is Kind.CACHE]
    named = [row for row in rows if row.name == asked.row]
    if not named:
        raise ConfigError(_not_there(asked, list(dict.fromkeys(row.name for row in rows))))
    row = named[0] if len(named) == 1 else next((row for row in named if row.model == asked.model), None)
    if row is None:
        models = ", ".join(row.model for row in named)
        raise ConfigError(f"{asked.file}: '{asked.row}' was measured on {models}. Give a file of one model.")
    _check(row, asked)
    return row


def _not_there(asked: Asked, names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (
        f"{asked.file}: it has no cache '{shortened(asked.row)}'. Caches: {', '.join(names[:_LISTED]) or 'none'}{more}"
        f". Name the row, or measure the configuration with `lesa eval`.{did_you_mean(asked.row, names)}"
    )


def _check(row: Row, asked: Asked) -> None:
    """Names are easily the same; a plan that differs is another configuration's."""
    if row.error is not None:
        raise ConfigError(f"{asked.file}: '{row.name}' has no numbers, because it failed: {row.error}")
    steps = asked.num_steps or row.num_steps
    nfe = asked.nfe(steps)
    if row.num_steps != steps or nfe not in (None, row.nfe):
        computes = f"computes {nfe} of {steps}" if nfe is not None else f"is for {steps} steps"
        raise ConfigError(
            f"{asked.file}: '{row.name}' computed {row.nfe} of {row.num_steps} steps, and this configuration "
            f"{computes}, so the numbers are another's. Measure it with `lesa eval`, or name another row."
        )


def _of(results: Results, row: Row, name: str) -> Row | None:
    return next((each for each in results.of_model(row.model) if each.name == name and each.error is None), None)


def _words(row: Row) -> str:
    return "uncached" if row.kind is Kind.UNCACHED else f"{row.num_steps} plain steps"


def _about(results: Results, row: Row, *, is_noisy: bool) -> str:
    (model,) = [each for each in results.models if each.model == row.model]
    known = {**results.environment, **model.properties}  # what differs between the models is among these
    machine = [f"{before}{known[key]}" for key, before in _MACHINE.items() if known.get(key)]
    facts = [*([f"means over {amount(len(model.pairs), 'sample')}"] if model.pairs else []), *machine]
    noise = f"; times with {NOISY} are noisy" if is_noisy else ""
    return f"{amount(row.num_steps, 'step')}{''.join(f', {fact}' for fact in facts)}{noise}."
