"""The page of supported models: its parts that need no model. test_matrix.py checks what it says about each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lesa_framework.plugin.manager import plugins
from tests.matrix.cases import CASES
from tests.matrix.page import (
    INTRODUCTION,
    LEGEND,
    PAGE,
    PIPELINE_CASES,
    PIPELINE_HEAD,
    PIPELINES,
    check_list,
    head,
    pipeline_words,
)

ROOT = Path(__file__).parents[2]
SHOWN = PAGE.read_text(encoding="utf-8")


def test_it_has_a_row_for_each_case_and_no_other():
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", SHOWN, re.MULTILINE)
    assert rows == sorted(rows, key=lambda names: names[0].lower())
    assert sorted(rows) == sorted((case.adapter.model_class, case.kind) for case in CASES)


def test_every_adapter_of_ours_is_a_case():
    ours = {kind for kind, plugin in plugins().registry.backbones.names().items() if plugin.startswith("lesa_")}
    assert ours == {case.kind for case in CASES}


@pytest.mark.parametrize(
    ("page", "number"),
    [
        ("README.md", r"Adapters for \[(\d+) transformer classes"),
        ("docs/explanation/concepts.md", r"`auto`, `flux`, `qwen_image`, `hunyuan_video`, \[(\d+) more\]"),
        ("docs/reference/adapters.md", r"Of the (\d+) classes"),
    ],
)
def test_other_pages_name_their_number(page, number):
    (line,) = (line for line in (ROOT / page).read_text("utf-8").splitlines() if re.search(number, line))
    named = sum(f"`{case.kind}`" in line for case in CASES)
    assert int(re.search(number, line)[1]) == len(CASES) - named


def test_it_has_a_row_for_each_pipeline_and_no_other():
    shown = SHOWN.split("\n".join(PIPELINE_HEAD))[1].split("\n\n")[0].splitlines()[1:]
    cells = [line.strip("| ").split(" | ") for line in shown]
    assert [(case, kind, branches) for case, _, _, kind, branches, _ in cells] == [
        pipeline_words(case) for case in PIPELINE_CASES
    ]
    assert PIPELINES in SHOWN


def test_it_explains_every_check():
    assert "\n".join([*check_list(CASES[0]), ""]) in SHOWN
    assert "\n".join(head(CASES[0])) in SHOWN


def test_it_begins_as_it_should():
    before, after = INTRODUCTION.split("{made_with}")
    assert SHOWN.startswith(before)
    assert re.match(r"Made with diffusers [\d.]+ and torch [\d.]+, on a (CPU|GPU)\.", SHOWN.removeprefix(before))
    assert after in SHOWN
    assert LEGEND in SHOWN


def test_nothing_failed():
    assert "✗" not in SHOWN.replace(LEGEND, "")
    assert "## What failed" not in SHOWN
