"""Every check can fail: each is failed by something that is wrong in just that way, and by nothing that is right."""

from __future__ import annotations

import re

import pytest

from lesa_framework.testing import TinyContextDiT, TinyDiT, TinyDiTAdapter, backbone_checks, run_backbone
from tests.testing.conformance.backbone.mutant import Mutant, call, make_latent
from tests.testing.conformance.backbone.mutants import MUTANTS
from tests.testing.conformance.backbone.wrong_runs import Confused, call_with_five_words

NAMES = [
    check.name for check in backbone_checks(TinyDiTAdapter, make_model=TinyDiT, call=call, make_latent=make_latent)
]


def results(mutant: Mutant):
    return run_backbone(
        mutant.adapter,
        make_model=mutant.make_model,
        call=mutant.call,
        make_latent=mutant.make_latent,
        refused=mutant.refused,
    )


@pytest.mark.parametrize("model", [TinyDiT, TinyContextDiT])
def test_what_is_right_passes_every_check(model):
    right = Mutant("none", (), "", TinyDiTAdapter, model)
    outcomes = {result.check: result for result in results(right)}
    refusals = outcomes.pop("refuses_what_it_cannot_do")
    assert (refusals.outcome, refusals.detail) == ("not applicable", "the adapter refuses nothing")
    assert [result for result in outcomes.values() if result.outcome != "passed" or result.detail] == []


def test_a_refusal_that_is_right_passes():
    found = results(Mutant("none", (), "", Confused, refused=(call_with_five_words,)))
    assert {result.outcome for result in found} == {"passed"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_what_is_wrong_fails_its_check_and_no_other(mutant, monkeypatch):
    mutant.engine(monkeypatch)
    failed = [result for result in results(mutant) if not result.passed]
    names = tuple(dict.fromkeys(result.check for result in failed))
    assert (names[: len(mutant.breaks)] if mutant.spreads else names) == mutant.breaks
    assert re.search(mutant.message, failed[0].detail)


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_every_check_is_failed_by_something(name):
    assert [mutant for mutant in MUTANTS if name in mutant.breaks]
