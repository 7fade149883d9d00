from __future__ import annotations

from lesa_framework.measure.page.render import quoted, write_page
from tests.measure.page.samples import sample_results


def test_what_a_note_quotes_is_code_and_everything_else_is_escaped() -> None:
    assert quoted("<b> has `a<b`; a ` alone stays") == "&lt;b&gt; has <code>a&lt;b</code>; a ` alone stays"
    results = sample_results().model_copy(update={"notes": ["chosen in `selection`", "not measured: x: run `get x`"]})
    page = write_page(results)
    assert "Note: chosen in <code>selection</code></p>" in page
    assert "<li>x: run <code>get x</code></li>" in page
