"""Writes docs/reference/matrix.md from what the suite finds: `make matrix`."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

import torch

from lesa_framework import Strategy, Tap, UnsupportedBackboneError
from lesa_framework.plugin.manager import plugins
from lesa_framework.testing import BackboneCheck, CheckResult, attach, backbone_checks, even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages, Mean
from tests.matrix.case import Case
from tests.matrix.cases import CASES
from tests.matrix.samplers_page import samplers_part
from tests.pipelines.case import PipelineCase, check_pipeline, pipeline_of
from tests.pipelines.test_pipelines import CASES as PIPELINE_CASES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "matrix.md"
INTRODUCTION = """\
---
hide: [navigation, toc]
---

# Supported models

<!-- Written by `make matrix` from the results of the conformance suite: change the cases in tests/matrix instead. -->

Every model class here has an adapter, and every adapter is checked against the whole contract, on a tiny model of its
class with random weights and at every tap it declares. This page is written from the results; a test compares the two.
{made_with}

A model of another class needs [an adapter](../how-to/extend/backbone.md), often a dozen lines;
[the same suite](../how-to/extend/testing.md) checks whether it is right.
"""
LEGEND = """\
Taps: `pre_head`, `post_norm` and `output` are all there are.
✓ every check of the group passed at every tap · (✓) those that apply passed · – none applies · ✗ see below.
What each group checks is listed under [The checks](#the-checks).
"""
PIPELINES = """\
## Pipelines and samplers

Sessions in real pipelines with tiny random weights: computing every step is bit-identical, a schedule computes and
predicts in each branch what it should, a second run equals the first, and detaching leaves no trace.
"""
PIPELINE_HEAD = ("| Case | Pipeline | Sampler | Adapter | Branches | |", "|---|---|---|---|---|:-:|")


@cache
def results(case: Case) -> tuple[CheckResult, ...]:
    """What the suite finds in a case; it is run once in a process."""
    return tuple(check.run() for check in checks(case))


def pipeline_row(case: PipelineCase) -> str:
    """A pipeline's line of the table."""
    pipe, mark = pipeline_of(case), "✓"
    try:
        check_pipeline(case, pipe)
    except Exception:  # whatever it was, it did not pass
        mark = "✗"
    name, kind, branches = pipeline_words(case)
    classes = f"{_library_class(pipe)} | `{type(pipe.scheduler).__name__}`"
    return f"| {name} | {classes} | {kind} | {branches} | {mark} |"


def pipeline_words(case: PipelineCase) -> tuple[str, str, str]:
    """What the line shows of a pipeline before it is made: its name, adapter and branches."""
    return _words(case.name), f"`{case.kind}`", ", ".join(f"`{branch}`" for branch in case.plans)


def checks(case: Case) -> list[BackboneCheck]:
    """The suite for a case."""
    return backbone_checks(
        case.adapter, make_model=case.make_model, call=case.call, make_latent=case.make_latent, refused=case.refused
    )


def page(cases: Sequence[Case] = CASES, pipelines: Sequence[PipelineCase] = PIPELINE_CASES) -> str:
    """The whole page."""
    ordered = sorted(cases, key=lambda case: case.adapter.model_class.lower())
    parts = [
        INTRODUCTION.format(made_with=_made_with()),
        "## Model classes\n",
        "\n".join([*head(ordered[0]), *map(row, ordered)]) + "\n",
        LEGEND,
        *_section("What failed", [note for case in ordered for note in notes(case, "failed")]),
        *_section("What does not apply", [note for case in ordered for note in notes(case, "not applicable")]),
        *_section("Refused by name", [refusal for case in ordered for refusal in refusals(case)]),
        PIPELINES,
        "\n".join([*PIPELINE_HEAD, *map(pipeline_row, pipelines)]) + "\n",
        samplers_part(),
        "## The checks\n",
        "\n".join(check_list(ordered[0])),
    ]
    return "\n".join(parts) + "\n"


def head(case: Case) -> list[str]:
    """The table's first two lines."""
    groups = dict.fromkeys(check.group for check in checks(case))
    columns = ["Model class", "`kind`", "Plugin", "Taps", *(group.capitalize() for group in groups)]
    return [f"| {' | '.join(columns)} |", f"|---|---|---|---|{':-:|' * len(groups)}"]


def row(case: Case) -> str:
    """The case's line of the table."""
    found = results(case)
    cells = [
        f"`{case.adapter.model_class}`",
        f"`{case.kind}`",
        f"`{plugins().registry.backbones.names()[case.kind]}`",
        "all" if set(case.adapter.taps) == set(Tap) else ", ".join(f"`{tap}`" for tap in case.adapter.taps),
        *(_mark(group) for group in _by_group(found).values()),
    ]
    return f"| {' | '.join(cells)} |"


def notes(case: Case, outcome: str) -> list[str]:
    """A line for each reason why checks of a case have this outcome, but that nothing is refused."""
    reasons: dict[str, dict[str, None]] = {}
    for result in results(case):
        # The reason itself; after the colon may be a message of torch, which differs between its versions.
        reason = result.detail.split(":")[0] if outcome == "not applicable" else result.detail
        if result.outcome == outcome and reason != "the adapter refuses nothing":
            reasons.setdefault(reason, {})[_words(result.check)] = None
    return [f"- `{case.adapter.model_class}`, {', '.join(names)}: {reason}." for reason, names in reasons.items()]


def refusals(case: Case) -> list[str]:
    """What the adapter answers to each call that it refuses."""
    said = {}
    for call in case.refused:
        model, grid = case.make_model(), even_grid(4)
        strategy = Strategy(ComputeSteps(), EqualStages(), Mean())
        with attach(model, case.adapter(), strategy, grid, case.adapter.taps[0]), torch.no_grad():
            try:
                call(model, case.make_latent(1), grid[1], 1)
            except UnsupportedBackboneError as error:
                said[str(error)] = None
    return [f"- {message}" for message in said]


def check_list(case: Case) -> list[str]:
    """Every check, with what it holds an adapter to."""
    named = {check.name: check for check in checks(case)}
    lines = ["| Group | Check | What holds |", "|---|---|---|"]
    for group, members in groupby(named.values(), key=lambda check: check.group):
        for number, check in enumerate(members):
            lines.append(f"| {'' if number else group} | {_words(check.name)} | {check.about} |")
    return lines


def _by_group(found: Iterable[CheckResult]) -> Mapping[str, list[CheckResult]]:
    groups: dict[str, list[CheckResult]] = {}
    for result in found:
        groups.setdefault(result.group, []).append(result)
    return groups


def _mark(found: Sequence[CheckResult]) -> str:
    outcomes = {result.outcome for result in found}
    if "failed" in outcomes:
        return "✗"
    if "not applicable" in outcomes:
        return "(✓)" if "passed" in outcomes else "–"
    return "✓"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}\n", "\n".join(lines) + "\n"] if lines else []


def _library_class(pipe: object) -> str:
    """A pipeline's class in diffusers."""
    bases = (base.__name__ for base in type(pipe).__mro__ if base.__module__.startswith("diffusers.pipelines."))
    found = next(bases, None)
    return "one of the tests' own" if found is None else f"`{found}`"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _made_with() -> str:
    versions = (f"{name} {importlib.metadata.version(name).split('+')[0]}" for name in ("diffusers", "torch"))
    return f"Made with {' and '.join(versions)}, on a {'GPU' if torch.cuda.is_available() else 'CPU'}."


if __name__ == "__main__":
    # Its notices are about moving single modules, and about packages that nothing here needs.
    logging.disable(logging.WARNING)
    PAGE.write_text(page(), encoding="utf-8")
