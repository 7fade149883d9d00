"""`lesa check`: the conformance kits, on what installed plugins registered."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel, ValidationError
from rich import box
from rich.table import Table

from lesa_framework.cli import console, options
from lesa_framework.config.loading import load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, LesaError, MetricUnavailableError, did_you_mean, in_one_line, shortened
from lesa_framework.plugin.catalog import Catalog
from lesa_framework.plugin.manager import plugins
from lesa_framework.plugin.registry import Registry
from lesa_framework.testing import check_metric, check_peer, check_predictor, check_router, check_schedule

_OURS = frozenset({"lesa-framework", "lesa-framework-reference"})
_BACKBONES = (
    "its kit needs a small model of the class: run the tests of the package, as `lesa new backbone` writes them"
)
_IDLE = "registers nothing. Is `@hookimpl` above `lesa_register`, and does it call the registrar?"


@dataclass(frozen=True)
class Checked:
    """How one plugin did."""

    section: str
    kind: str
    plugin: str
    outcome: Literal["passed", "failed", "not checked"]
    detail: str = ""


class _NotCheckedError(Exception):
    """Something is missing that the kit needs; the message says what."""


def command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PLUGIN]", help="Plugins as `lesa plugins` names them; by default all but ours."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", metavar="FILE_OR_PRESET", help="Settings for kinds that cannot do without."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Run the conformance kits on everything that installed plugins registered.

    It ends with exit code 1 if something fails. What needs settings or fitted weights takes them from --config.

    Example: lesa check damped_line
    """
    loaded = plugins()
    wanted = names or _others()
    for name in wanted:
        if name not in loaded.names():
            known = ", ".join(loaded.names())
            near = did_you_mean(name, loaded.names())
            raise ConfigError(
                f"PLUGIN {shortened(name)}: is not installed. Installed: {known}.{near} "
                "Install your own from its folder: `pip install -e FOLDER`."
            )
    if not wanted:
        raise ConfigError(
            "PLUGIN: no plugin is installed besides ours. Install yours, for example with `pip install -e .`, or write "
            "one with `lesa new predictor NAME`; to check ours, name one of `lesa plugins`."
        )
    settings = load_config(config) if config is not None else None
    found = [Checked("plugin", name, name, "failed", _IDLE) for name in wanted if loaded.adds_nothing(name)]
    found += checked(loaded.registry, settings, wanted)
    _show(found, as_json=as_json)
    failed = [f"{each.section} '{each.kind}'" for each in found if each.outcome == "failed"]
    if failed:
        raise LesaError(f"{', '.join(failed)}: not as the contract asks.")


def checked(
    registry: Registry, settings: LesaConfig | None = None, wanted: Collection[str] | None = None
) -> Iterator[Checked]:
    """Check what is registered, one by one.

    Args:
        registry: What is registered.
        settings: Where kinds that it names get their settings from.
        wanted: The plugins to check; None for all.
    """

    def with_settings(check: Callable[[Any], None], section: str) -> Callable[[Any], None]:
        return lambda config: check(_configured(config, section, settings))

    configured: tuple[tuple[str, Catalog[Any], Callable[[Any], None]], ...] = (
        ("schedule", registry.schedules, check_schedule),
        ("router", registry.routers, check_router),
        ("predictor", registry.predictors, _check_predictor),
    )
    for section, catalog, check in configured:
        yield from _each(section, catalog, with_settings(check, section), wanted)
    for kind, plugin in registry.backbone_kinds().items():
        if wanted is None or plugin in wanted:
            yield Checked("backbone", kind, plugin, "not checked", _BACKBONES)
    yield from _each("metric", registry.metrics, check_metric, wanted)
    yield from _each("peer", registry.peers, _check_peer, wanted)
    yield from _each("told_peer", registry.told_peers, _check_peer, wanted)


def _each(
    section: str, catalog: Catalog[Any], check: Callable[[Any], None], wanted: Collection[str] | None
) -> Iterator[Checked]:
    names = catalog.names()
    for kind, item in catalog.items().items():
        if wanted is not None and names[kind] not in wanted:
            continue
        try:
            check(item)
        except (_NotCheckedError, MetricUnavailableError) as reason:
            yield Checked(section, kind, names[kind], "not checked", str(reason))
        except AssertionError as error:
            # The kit's own say where it failed; one of the plugin's may say nothing.
            yield Checked(section, kind, names[kind], "failed", str(error) or in_one_line(error))
        except Exception as error:  # anybody's code runs here
            yield Checked(section, kind, names[kind], "failed", in_one_line(error))
        else:
            yield Checked(section, kind, names[kind], "passed")


def _configured(made: type[BaseModel], section: str, settings: LesaConfig | None) -> BaseModel:
    given = settings and getattr(settings, section)
    if isinstance(given, made):
        return given
    try:
        return made.model_validate({"kind": made.model_fields["kind"].default})
    except ValidationError as error:
        missing = ", ".join(str(each["loc"][0]) if each["loc"] else each["msg"] for each in error.errors())
        raise _NotCheckedError(f"it needs settings: {missing}. Give a configuration that has them: --config") from None


def _check_predictor(config: Any) -> None:
    try:
        run = config.build().trained_for
    except LesaError as error:
        raise _NotCheckedError(str(error)) from None
    check_predictor(config, run=run)


def _check_peer(family: Any) -> None:
    refusal = check_peer(family)
    if refusal is not None:
        raise _NotCheckedError(f"it refuses the small model of the kit: {refusal}")


def _others() -> list[str]:
    """Plugins that come with other packages."""
    return sorted(
        entry.name for entry in entry_points(group="lesa") if entry.dist is not None and entry.dist.name not in _OURS
    )


def _show(found: list[Checked], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("section", "kind", "outcome", "why"):
        table.add_column(heading, no_wrap=heading != "why")
    for each in found:
        table.add_row(each.section, each.kind, each.outcome, each.detail)
    console.results().print(table)
