"""The page that says how far fitted filters are ahead, and of what."""

from __future__ import annotations

import pytest

from benchmarks import fitted_page
from benchmarks.markup import ROOT, filled
from lesa_framework.measure.results import QUALITY, Details, ModelResults, Pair, Results
from lesa_framework.measure.results_file import read_results
from tests.benchmarks.rows import row
from tests.measure.page.samples import METRICS

MODEL = "reference:flux"


def results(fitted: tuple[float, float], line: tuple[float, float]) -> Results:
    scores = {
        "ref-flux-fitted-nfe10": fitted,
        "taylorseer1-even10": line,
        "unipc2_10": (25.0, 27.0),
        "fewer_steps_10": (20.0, 21.0),
    }
    rows = [
        row(name, sum(values) / 2, model=MODEL, family=family, kind=kind)
        for (name, values), family, kind in zip(
            scores.items(),
            ("fitted", "taylorseer", "unipc2", "fewer_steps"),
            ("cache", "cache", "fewer_steps", "fewer_steps"),
            strict=True,
        )
    ]
    found = ModelResults(
        model=MODEL,
        num_steps=50,
        batch=1,
        pairs=[Pair(prompt="a", seed=0), Pair(prompt="b", seed=0)],
        details={name: Details(scores={QUALITY: list(values)}) for name, values in scores.items()},
    )
    return Results(
        rows=rows, models=[found], metrics=METRICS, environment={"device": "cpu", "processor": "p", "threads": "2"}
    )


@pytest.mark.parametrize(
    ("fitted", "line", "cell"),
    [
        ((34.0, 34.4), (30.0, 30.0), "`taylorseer1-even10` 30.0<br>+4.2 (+1.7 to +6.7), ahead |"),
        ((34.0, 30.0), (30.0, 34.0), "`taylorseer1-even10` 32.0<br>+0.0 (−50.8 to +50.8), level |"),
    ],
)
def test_a_lead_is_one_when_its_interval_says_so(fitted, line, cell):
    text = fitted_page.leads(results(fitted, line))
    assert cell in text
    assert "| FLUX, 10 of 50 |" in text
    assert "| – | `unipc2_10` 26.0<br>+" in text  # no LESA was measured
    assert "| 20.5<br>+" in text  # plain steps need no name
    assert len({each.count("|") for each in text.splitlines()}) == 1


def test_the_page_has_the_rows_of_every_model():
    sections = fitted_page.sections(results((34.0, 34.2), (30.0, 30.1)))
    assert "### reference:flux" in sections["results"]
    assert "2 pairs a model" in sections["leads"]


def test_what_a_speed_up_takes_without_weights_is_as_close_as_the_docs_say():
    measured, told = read_results(fitted_page.RESULTS), (ROOT / "docs" / "reference" / "weights.md").read_text("utf-8")
    assert "within 0.5 dB of the closest, on the three bundled models" in told
    for found in measured.models:
        for schedule in ("even10", "even8"):
            scores = {
                each.name: each.psnr_db
                for each in measured.of_model(found.model)
                if each.kind == "cache" and each.schedule == schedule and each.family not in ("fitted", "lesa")
            }
            assert len(scores) > 10
            assert scores[f"taylorseer1-{schedule}"] >= max(scores.values()) - 0.5


def test_every_sort_of_rival_was_measured():
    lines = fitted_page.leads(read_results(fitted_page.RESULTS)).splitlines()
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows
    assert [head for head, *cells in zip(heads, *rows, strict=True) if set(cells) == {"–"}] == []


def test_the_page_says_what_the_committed_results_say():
    text = fitted_page.PAGE.read_text("utf-8")
    contents = fitted_page.sections(read_results(fitted_page.RESULTS))
    assert filled(text, contents) == text, "run python -m benchmarks.fitted_page"
