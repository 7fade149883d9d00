"""Every results file in the repository is one that this version reads and shows."""

from pathlib import Path

import pytest

from benchmarks.full_size.cases import CASES
from lesa_framework.measure.page.render import write_page
from lesa_framework.measure.results import Kind
from lesa_framework.measure.results_file import read_results

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
#: The first of these knows nothing of our schema; runs that did not come to their end leave the others.
_OTHERS = {FOLDER / "recomputed.json", *FOLDER.glob("*-unfinished.json")}
FILES = sorted(set(FOLDER.glob("*.json")) - _OTHERS)
FULL_SIZE = {name: FOLDER / f"full-size-{name}-nvidia-h200.json" for name in CASES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_committed_file_loads_and_makes_a_page(path):
    results = read_results(path)
    page = write_page(results)
    assert results.rows
    for row in results.rows:
        assert row.name in page
    for model in results.models:
        good = {row.name: row.kind for row in results.of_model(model.model) if row.error is None}
        assert Kind.UNCACHED in good.values()
        assert set(model.details) == set(good)


@pytest.mark.parametrize("name", CASES)
def test_the_full_size_files_are_of_the_real_models(name):
    results, case = read_results(FULL_SIZE[name]), CASES[name]
    (model,) = results.models
    assert results.title == case.title
    assert not model.properties["tiny"]
    assert model.properties["config"] == {
        key: list(value) if isinstance(value, tuple) else value for key, value in case.config.items()
    }
    assert model.properties["latent_shape"] == list(case.latent)
    for row in results.rows:
        details = model.details.get(row.name)
        assert (details is None) == (row.error is not None)
        if details is not None:
            assert sum(details.split_seconds.values()) == pytest.approx(
                sorted(details.seconds)[(len(details.seconds) - 1) // 2]
            )
