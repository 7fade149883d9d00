"""The notebooks of docs/tutorials: `python -m tests.docs.notebooks` runs them and writes their outputs.

Edit a notebook in Jupyter, or as text, and run this before committing it: it leaves nothing of the machine in the file.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read(name: str) -> NotebookNode:
    """A committed notebook."""
    return nbformat.read(FOLDER / name, as_version=4)


def executed(book: NotebookNode, seconds: int = 120) -> NotebookNode:
    """The same, run from its first cell to its last in a new kernel and an empty folder."""
    book = nbformat.from_dict(book)
    with tempfile.TemporaryDirectory() as folder:
        # Profiles and settings of who runs it are left out.
        own = {"IPYTHONDIR": folder, "JUPYTER_CONFIG_DIR": folder, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        own["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm would like ipywidgets
        client = NotebookClient(
            book,
            timeout=seconds,
            kernel_name="python3",
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # it warns that it listens on this machine's own address
        )
        client.execute(env=os.environ | own)
    return clean(book)


def clean(book: NotebookNode) -> NotebookNode:
    """Without metadata of a machine, a user or a run."""
    book.metadata = nbformat.from_dict(_METADATA)
    for cell in book.cells:
        cell.metadata = NotebookNode({key: value for key, value in cell.metadata.items() if key == "alt"})
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata = NotebookNode()
    return book


def texts(book: NotebookNode) -> list[str]:
    """What each code cell prints and shows as text; a plot is shown as its kind."""
    return ["".join(map(_text, cell.outputs)) for cell in book.cells if cell.cell_type == "code"]


def _text(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return output.text
    return "<plot>\n" if "image/png" in output.get("data", {}) else output.data["text/plain"] + "\n"


def main() -> None:
    """Run all of them, and write them."""
    for name in NAMES:
        (FOLDER / name).write_text(nbformat.writes(executed(read(name))) + "\n", "utf-8")


if __name__ == "__main__":
    main()
