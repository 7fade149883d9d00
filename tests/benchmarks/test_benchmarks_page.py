from __future__ import annotations

from benchmarks import benchmarks_page
from lesa_framework.measure.results import ModelResults, Results
from tests.benchmarks.rows import row
from tests.measure.page.samples import METRICS


def test_an_excluded_row_says_why():
    failed = row("broken", 0.0).model_copy(update={"psnr_db": None, "error": "it fell over"})
    greedy = row("greedy", 40.0, work=34.0, note="Cannot do as little as 10.")
    found = ModelResults(model="m", num_steps=50, batch=1)
    results = Results(rows=[row("good", 30.0), greedy, failed], models=[found], metrics=METRICS)
    text = benchmarks_page.table(results, "m", 10)
    assert "| **`good`** | **10 of 50** | **30.00** |" in text
    assert "| `greedy` | 34 of 50 | 40.00 |" in text, "and not in bold"
    assert "- `broken`: it fell over\n" in text + "\n"
    assert "- `greedy`: did the work of 34 steps, more than 10. Cannot do as little as 10.\n" in text + "\n"
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(columns) == 1


def test_a_row_without_a_speed_up_has_an_empty_cell_for_it():
    found = ModelResults(model="m", num_steps=50, batch=1)
    apart = row("apart", 30.0).model_copy(update={"seconds": 2.0, "speedup": None, "timing_noise": 0.5})
    together = row("together", 20.0).model_copy(update={"speedup": 2.5})
    text = benchmarks_page.table(Results(rows=[apart, together], models=[found], metrics=METRICS), "m", 10)
    cells = {line.split(" | ")[0]: line.split(" | ") for line in text.splitlines()}
    place = cells["| method"].index("speed-up")
    assert cells["| **`apart`**"][place - 1 : place + 1] == ["**~2.000**", ""]
    assert cells["| `together`"][place] == "2.50x"


def test_a_note_about_a_metric_is_told_from_others() -> None:
    found = ModelResults(model="m", num_steps=50, batch=1)
    notes = ["not measured: lpips: no weights", "Methods were chosen on other pairs."]
    text = benchmarks_page.page(
        Results(
            rows=[row("good", 30.0)],
            models=[found],
            metrics=METRICS,
            notes=notes,
            environment={"device": "cpu", "processor": "p", "threads": "2"},
        )
    )
    assert text.endswith("Not measured here: lpips: no weights\n\nMethods were chosen on other pairs.")
