"""The report: one HTML page with everything in it, images included, that needs no network."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec

from lesa_framework.errors import ConfigError
from lesa_framework.measure.columns import columns
from lesa_framework.measure.formats import counted, gain, size, steps
from lesa_framework.measure.page.cards import answers, card_groups, grid_columns
from lesa_framework.measure.page.families import families
from lesa_framework.measure.page.payload import payload
from lesa_framework.measure.page.verdicts import verdicts
from lesa_framework.measure.page.view import as_yaml, model_views
from lesa_framework.measure.results import Results
from lesa_framework.measure.scoring import SKIPPED

_PACKAGE = "lesa_framework.measure.page"
_STYLES = ("look.css", "parts.css")
#: In the order of their dependencies.
_SCRIPTS = (
    "state.js", "pareto.js", "labels.js", "plots.js", "curves.js", "table.js", "clip.js", "slider.js", "gallery.js",
    "main.js",
)  # fmt: skip
#: Number of prompts whose images are shown at once; the others unfold.
_OPEN = 3
_NEEDED = (("jinja2", "jinja2"), ("pillow", "PIL"), ("plotly", "plotly"))


def check_report(option: str = "--report") -> None:
    """Fail early when no page can be made.

    Args:
        option: What asked for the page; the message begins with it.

    Raises:
        ConfigError: jinja2, Pillow or plotly is not installed.
    """
    missing = [name for name, module in _NEEDED if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f'{option}: needs {" and ".join(missing)}. Install with `pip install "lesa-framework[diffusers]"`.'
        )


def write_page(results: Results) -> str:
    """The page.

    Args:
        results: What was measured.

    Returns:
        A whole HTML document of some five megabytes (most of it is plotly) and the images.
    """
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader(_PACKAGE, "template"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "gain": gain,
        "size": size,
        "steps": steps,
        "counted": counted,
        "breakable": lambda name: Markup("_<wbr>").join(name.split("_")),
    }
    sorts = families(results.rows)
    table = columns(results)
    models = model_views(results, sorts, table)
    found = verdicts(results)
    groups = card_groups(found)
    return environment.get_template("page.html.j2").render(
        results=results,
        title=results.title or "Feature caches, side by side",
        models=models,
        numbers={model.found.model: model.number for model in models},
        nfes=sorted({nfe for model in models for nfe in model.nfes}, reverse=True),
        shown=_OPEN,
        families=sorts,
        columns=table,
        answers=answers(found),
        groups=groups,
        grid_columns=grid_columns([len(group) for group in groups.values()]),
        skipped=[note.removeprefix(SKIPPED) for note in results.notes if note.startswith(SKIPPED)],
        notes=[note for note in results.notes if not note.startswith(SKIPPED)],
        rows={(view.row.model, view.row.name): view for model in models for view in model.rows},
        spec=as_yaml(results.spec),
        payload=payload(models, sorts.values()),
        style=Markup(_joined(_STYLES)),
        script=Markup(_joined(_SCRIPTS)),
        plotly=Markup(get_plotlyjs()),
    )


def _joined(names: tuple[str, ...]) -> str:
    folder = files(_PACKAGE) / "assets"
    return "\n".join((folder / name).read_text("utf-8") for name in names)
