"""The notebooks run, show what they showed when they were committed, and carry nothing of the machine they ran on."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

from tests.docs import notebooks
from tests.test_architecture import private_imports

ROOT = Path(__file__).parents[2]
HOOK = ROOT / "docs" / "hooks" / "notebooks.py"
#: Decibels that another processor's arithmetic may shift a shown number by, besides its rounding.
SHIFT = 0.1
_TIME = re.compile(r"\d+(\.\d+)? s\b")
_DECIMAL = re.compile(r"[-+]?\d+\.\d+")


def same(shown: str, committed: str) -> bool:
    """Whether two texts differ in times and in the last digits of decimals at most."""
    shown, committed = (_TIME.sub("_ s", text) for text in (shown, committed))
    if _DECIMAL.sub("_", shown) != _DECIMAL.sub("_", committed):
        return False
    pairs = zip(_DECIMAL.findall(shown), _DECIMAL.findall(committed), strict=True)
    return all(
        abs(float(one) - float(other)) < SHIFT + 1.1 * 10.0 ** -len(one.partition(".")[2]) for one, other in pairs
    )


@pytest.mark.parametrize(
    ("shown", "committed", "alike"),
    [
        ("10 of 50, 0.21 s, 33.1 dB", "10 of 50, 1.9 s, 33.2 dB", True),
        ("saved: 40 of 50 steps, about 2 s", "saved: 40 of 50 steps, about 0.4 s", True),
        ("10 of 50", "11 of 50", False),
        ("33.1 dB", "33.4 dB", False),
        ("+0.10 dB: level", "+0.10 dB: ahead", False),
        ("0.05 dB", "-0.02 dB", True),
    ],
)
def test_what_counts_as_the_same(shown, committed, alike):
    assert same(shown, committed) is alike


@pytest.mark.slow
@pytest.mark.parametrize("name", notebooks.NAMES)
def test_the_cells_run_and_show_what_was_committed(name):
    committed = notebooks.read(name)
    pairs = zip(notebooks.texts(notebooks.executed(committed)), notebooks.texts(committed), strict=True)
    assert [pair for pair in pairs if not same(*pair)] == [], "run python -m tests.docs.notebooks"


@pytest.mark.parametrize("name", notebooks.NAMES)
class TestCommitted:
    def test_it_was_run_from_its_first_cell_to_its_last_without_a_complaint(self, name):
        code = [cell for cell in notebooks.read(name).cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        outputs = [output for cell in code for output in cell.outputs]
        assert {output.output_type for output in outputs} <= {"stream", "execute_result", "display_data"}
        assert {output.name for output in outputs if output.output_type == "stream"} == {"stdout"}

    def test_it_is_small_and_names_no_machine(self, name):
        text = (notebooks.FOLDER / name).read_text("utf-8")
        assert len(text) < 400_000
        without_plots = re.sub(r'"image/png": "[^"]*"', "", text)
        assert re.findall(r"/(?:work|home|root|tmp|usr|Users|opt)/|[A-Z]:\\\\|site-packages", without_plots) == []

    def test_running_it_again_would_leave_no_other_metadata(self, name):
        committed = notebooks.read(name)
        nbformat.validate(committed)
        assert notebooks.clean(nbformat.from_dict(committed)) == committed

    def test_it_imports_only_what_is_public(self, name):
        code = [cell.source for cell in notebooks.read(name).cells if cell.cell_type == "code"]
        assert private_imports("\n".join(re.sub(r"^%.*$", "", source, flags=re.MULTILINE) for source in code)) == []

    def test_pictures_are_fetched_from_the_gpu(self, name):
        """The pipeline is on the GPU where there is one, and matplotlib and numpy read only the CPU's memory."""
        code = [cell.source for cell in notebooks.read(name).cells if cell.cell_type == "code"]
        assert set(re.findall(r"\.images\b.*", "\n".join(code))) == {".images.cpu()"}

    def test_every_plot_is_described(self, name):
        for cell in notebooks.read(name).cells:
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", ())):
                assert len(cell.metadata["alt"]) > 20, cell.source

    def test_its_page_has_every_cell_and_plot(self, name):
        spec = importlib.util.spec_from_file_location("notebooks_hook", HOOK)
        hook = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(hook)
        book, stem = notebooks.read(name), name.removesuffix(".ipynb")
        page, plots = hook.page(book, stem), hook.plots(book, stem)
        (title, _, lead), *rest = book.cells[0].source.partition("\n"), *(cell.source for cell in book.cells[1:])
        assert page.startswith(f"{title}\n\n<a href=")
        assert [source for source in (lead, *rest) if source not in page] == []
        assert page.count("```") % 2 == 0
        assert re.findall(r"\]\(([\w-]+\.png)\)", page) == list(plots)
        assert all(plot.startswith(b"\x89PNG") for plot in plots.values())
        assert f'<a href="{name}" download>' in page


def test_links_between_notebooks_lead_to_their_pages():
    spec = importlib.util.spec_from_file_location("notebooks_hook", HOOK)
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    turned = hook.on_page_markdown("[a](../b-c.ipynb) [d](e.ipynb#f) [g](h.md)", page=None, config=None, files=None)
    assert turned == "[a](../b-c.md) [d](e.md#f) [g](h.md)"
