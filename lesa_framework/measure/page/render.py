"""The report: one HTML page with everything in it, images included, that needs no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from string import digits
from typing import TYPE_CHECKING

import yaml

from lesa_framework.extras import check_installed
from lesa_framework.measure.columns import NOISY, columns, explained, gain, size
from lesa_framework.measure.page.verdicts import Verdict, answers, grid_columns, verdicts
from lesa_framework.measure.page.view import ModelView, families, halves, model_views, payload
from lesa_framework.measure.results import Results
from lesa_framework.measure.scoring import SKIPPED
from lesa_framework.templates import templates
from lesa_framework.words import amount, steps

if TYPE_CHECKING:
    from markupsafe import Markup

_PACKAGE = "lesa_framework.measure.page"
_STYLES = ("look.css", "parts.css")
#: In the order of their dependencies.
_SCRIPTS = (
    "state.js", "pareto.js", "labels.js", "plots.js", "curves.js", "table.js", "clip.js", "slider.js", "gallery.js",
    "main.js",
)  # fmt: skip
#: What notes quote, as terminals show it.
_QUOTED = re.compile("`([^`]+)`")
#: Number of samples whose images are shown at once; the others unfold.
_OPEN = 3


def check_report(option: str = "--report") -> None:
    """Fail early when no page can be made; the message begins with the option that asked for it.

    Raises:
        ConfigError: jinja2, Pillow or plotly is not installed.
    """
    check_installed(option, ("jinja2", "PIL", "plotly"))


def write_page(results: Results) -> str:
    """The page.

    Args:
        results: What was measured.

    Returns:
        A whole HTML document of some five megabytes (most of it is plotly) and the images.
    """
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = templates(_PACKAGE, "template")
    environment.filters |= {
        "gain": gain,
        "size": size,
        "steps": steps,
        "amount": amount,
        "halves": halves,
        "breakable": lambda name: Markup("_<wbr>").join(name.split("_")),
        "quoted": quoted,
        "yaml": partial(yaml.safe_dump, sort_keys=False, allow_unicode=True, width=100),
    }
    models, found = model_views(results), verdicts(results)
    groups = _grouped(models, found)
    return environment.get_template("page.html.j2").render(
        results=results,
        title=results.title or "Feature caches, side by side",
        samples=_samples(results),
        models=models,
        has_parts=any(
            set(letters) & set(digits) for model in models for row in model.rows for _, letters in row.strips
        ),
        named={model.found.model: model for model in models},
        nfes=sorted({nfe for model in models for nfe in model.nfes}, reverse=True),
        shown=_OPEN,
        families=families(results.rows),
        columns=columns(results),
        noisy=NOISY,
        explained=[info for _, info in explained(results)],
        answers=answers(found),
        groups=groups,
        grid_columns=grid_columns([len(group) for group in groups.values()]),
        **_notes(results.notes),
        payload=payload(models, results),
        style=Markup(_joined(_STYLES)),
        script=Markup(_joined(_SCRIPTS)),
        plotly=Markup(get_plotlyjs()),
    )


def quoted(text: str) -> Markup:
    """A sentence with what is between backquotes as code; everything else is escaped."""
    from markupsafe import Markup, escape

    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))


def _samples(results: Results) -> str:
    """From how many prompts and samples the numbers of each model are."""
    told = {
        found.model: f"{amount(len({pair.prompt for pair in found.pairs}), 'prompt')}, "
        f"{amount(len(found.pairs), 'sample')} per method"
        for found in results.models
        if found.pairs
    }
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{model}: {text}" for model, text in told.items())


def _grouped(models: Sequence[ModelView], found: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """The verdicts of each model that has some, in the order of the models."""
    names = [model.found.model for model in models]
    groups = {name: [each for each in found if each.model == name] for name in names}
    return {name: group for name, group in groups.items() if group}


def _notes(notes: Sequence[str]) -> dict[str, list[str]]:
    """Those about what was skipped, and the others."""
    return {
        "skipped": [note.removeprefix(SKIPPED) for note in notes if note.startswith(SKIPPED)],
        "notes": [note for note in notes if not note.startswith(SKIPPED)],
    }


def _joined(names: tuple[str, ...]) -> str:
    folder = files(_PACKAGE) / "assets"
    return "\n".join((folder / name).read_text("utf-8") for name in names)
