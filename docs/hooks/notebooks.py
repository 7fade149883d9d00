"""Makes a page of each notebook, with its committed outputs, when mkdocs builds the docs.

The page is Markdown, so that its links are checked, its code is coloured and it follows the theme like any other; its
plots are files beside it. It loads nothing from other hosts. `tests/docs/test_notebooks.py` runs the notebooks.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

#: A link to a notebook, as it works in Jupyter and on a repository's page.
_LINK = re.compile(r"(\]\([\w./-]+)\.ipynb(#[\w-]+)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page, and its plots, for each notebook; the notebook stays, to be downloaded."""
    for file in [each for each in files if each.src_uri.endswith(".ipynb")]:
        book = nbformat.read(Path(file.abs_src_path), as_version=4)
        path = PurePosixPath(file.src_uri)
        for name, content in plots(book, path.stem).items():
            files.append(File.generated(config, str(path.with_name(name)), content=content))
        files.append(File.generated(config, str(path.with_suffix(".md")), content=page(book, path.stem)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs names them
    """Turn links to notebooks into links to their pages."""
    return _LINK.sub(r"\1.md\2)", markdown)


def page(book: nbformat.NotebookNode, stem: str) -> str:
    """The notebook as Markdown."""
    parts = [part for number, cell in enumerate(book.cells) for part in _cell(cell, f"{stem}-{number}")]
    download = f'<a href="{stem}.ipynb" download>Download this page as a notebook</a>'
    title, _, rest = "\n\n".join(parts).partition("\n")
    return f"{title}\n\n{download}\n{rest}\n"


def plots(book: nbformat.NotebookNode, stem: str) -> dict[str, bytes]:
    """The plots, by the names that the page shows them under."""
    return {
        f"{stem}-{number}-{place}.png": base64.b64decode(output.data["image/png"])
        for number, cell in enumerate(book.cells)
        for place, output in enumerate(cell.get("outputs", ()))
        if "image/png" in output.get("data", {})
    }


def _cell(cell: nbformat.NotebookNode, name: str) -> Iterator[str]:
    if cell.cell_type == "markdown":
        yield cell.source
        return
    yield f"```python\n{cell.source}\n```"
    for place, output in enumerate(cell.outputs):
        data = output.get("data", {})
        if "image/png" in data:
            yield f"![{cell.metadata.get('alt', 'The plot of the cell above')}]({name}-{place}.png)"
        else:
            text = output.text if output.output_type == "stream" else data["text/plain"]
            yield f'```text title="Output"\n{text.rstrip()}\n```'
