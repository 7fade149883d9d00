"""The registry: what is registered, under which name, and by which plugin."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, get_args

from lesa_framework.errors import PluginContractError, UnknownPluginError, shown
from lesa_framework.interfaces.backbone import (
    REQUIRED,
    BackboneAdapter,
    BackboneConfig,
    CustomBackboneConfig,
    misdeclared,
)
from lesa_framework.interfaces.config import PluginConfig
from lesa_framework.interfaces.metric import RESERVED, Metric
from lesa_framework.interfaces.peer import PeerFamily, ToldPeerFamily
from lesa_framework.interfaces.predictor import PredictorConfig
from lesa_framework.interfaces.router import RouterConfig
from lesa_framework.interfaces.schedule import ScheduleConfig
from lesa_framework.plugin.catalog import Catalog, unknown

#: The kind of backbone that is chosen by the model's class.
AUTO: Final = "auto"

#: What a metric must declare.
_LABELS = ("name", "heading", "higher_is_better", "summary")


class PromptSource(Protocol):
    """Draws prompts that suit a model."""

    def __call__(self, seed: int, count: int, *, training: bool = False) -> list[str]:
        """Draw `count` different prompts; those for training must never be among the rest."""


class DemoPromptSource(Protocol):
    """Draws prompts whose samples are easy to judge by eye."""

    def __call__(self, seed: int, count: int) -> list[str]:
        """Draw `count` different prompts that training never uses."""


@dataclass(frozen=True)
class NamedModel:
    """A model that users can name.

    Attributes:
        folder: A diffusers pipeline folder.
        call: Keyword arguments that its pipeline should be called with, such as height and width.
        prompts: Draws prompts for it; None when it has no source of prompts.
        metrics: Names of registered metrics that always measure its samples, besides the usual ones.
        demo_prompts: Draws the prompts of `lesa demo`, and of `lesa generate` without one; `prompts` does where None.
    """

    folder: Path
    call: dict[str, object] = field(default_factory=dict)
    prompts: PromptSource | None = None
    metrics: tuple[str, ...] = ()
    demo_prompts: DemoPromptSource | None = None


class Registry:
    """Everything that plugins have registered, in one catalog for each sort."""

    def __init__(self) -> None:
        self.predictors: Catalog[type[PredictorConfig]] = Catalog("predictor.kind", "predictor")
        self.schedules: Catalog[type[ScheduleConfig]] = Catalog("schedule.kind", "schedule")
        self.routers: Catalog[type[RouterConfig]] = Catalog("router.kind", "router")
        self.backbones: Catalog[type[BackboneAdapter]] = Catalog("backbone.kind", "backbone")
        self.custom_backbones: Catalog[type[CustomBackboneConfig]] = Catalog("backbone.kind", "backbone")
        self.models: Catalog[NamedModel] = Catalog("model", "model")
        self.presets: Catalog[Path] = Catalog("preset", "preset")
        self.metrics: Catalog[Metric] = Catalog("metric", "metric")
        self.peers: Catalog[PeerFamily] = Catalog("peer", "peer")
        self.told_peers: Catalog[ToldPeerFamily] = Catalog("told_peer", "told peer")

    def drop(self, plugin: str) -> None:
        """Forget all that a plugin registered."""
        for catalog in vars(self).values():
            catalog.drop(plugin)

    def has_any_of(self, plugin: str) -> bool:
        """Whether a plugin registered anything."""
        return any(plugin in catalog.names().values() for catalog in vars(self).values())

    def ready_predictors(self) -> list[str]:
        """Kinds of predictors that are ready as they are: there is nothing to fit, and no file to read."""
        found = self.predictors.items().items()
        return [kind for kind, each in found if not each.has_fit() and "weights" not in each.model_fields]

    def backbone_kinds(self) -> dict[str, str]:
        """Kind of backbone -> plugin, sorted by kind, with and without options of their own."""
        return dict(sorted({**self.backbones.names(), **self.custom_backbones.names()}.items()))

    def backbone_config(self, kind: str) -> type[BackboneConfig]:
        """The class that validates the `backbone` section for a kind or for `auto`.

        Raises:
            UnknownPluginError: No backbone has that kind.
        """
        if kind in self.custom_backbones:
            return self.custom_backbones.get(kind)
        if kind != AUTO and kind not in self.backbones:
            error = unknown("backbone.kind", "backbone", kind, self.backbone_kinds())
            raise UnknownPluginError(f"{error} Or '{AUTO}'.")
        return BackboneConfig


class Registrar:
    """The argument of a plugin's `lesa_register`; everything that it adds is registered under the plugin's name."""

    def __init__(self, registry: Registry, plugin: str) -> None:
        self._registry, self._plugin = registry, plugin

    def add_predictor(self, config: type[PredictorConfig]) -> None:
        """Register a predictor by its configuration class.

        Raises:
            PluginContractError: The name is taken, this is no such class, or `kind` is no `Literal` of the name.
        """
        self._registry.predictors.add(self._kind(config, PredictorConfig, "add_predictor"), config, self._plugin)

    def add_schedule(self, config: type[ScheduleConfig]) -> None:
        """Register a schedule by its configuration class.

        Raises:
            PluginContractError: The name is taken, this is no such class, or `kind` is no `Literal` of the name.
        """
        self._registry.schedules.add(self._kind(config, ScheduleConfig, "add_schedule"), config, self._plugin)

    def add_router(self, config: type[RouterConfig]) -> None:
        """Register a router by its configuration class.

        Raises:
            PluginContractError: The name is taken, this is no such class, or `kind` is no `Literal` of the name.
        """
        self._registry.routers.add(self._kind(config, RouterConfig, "add_router"), config, self._plugin)

    def add_backbone(self, kind: str, adapter: type[BackboneAdapter]) -> None:
        """Register a backbone adapter.

        Raises:
            PluginContractError: The name is taken, or this is no class of adapters, or what it declares is no layout.
        """
        where = f"{self._plugin}: backbone '{kind}':"
        if not _is_class_of(adapter, BackboneAdapter):
            raise PluginContractError(f"{where} add_backbone needs a subclass of BackboneAdapter, not {adapter!r}.")
        missing = [name for name in REQUIRED if not getattr(adapter, name, None)]
        if missing:
            raise PluginContractError(f"{where} {adapter.__name__} sets no {' and no '.join(missing)}.")
        wrong = misdeclared(adapter)
        if wrong:
            raise PluginContractError(f"{where} {adapter.__name__}: {wrong}")
        self._require_free(kind, self._registry.custom_backbones)
        self._registry.backbones.add(kind, adapter, self._plugin)

    def add_custom_backbone(self, config: type[CustomBackboneConfig]) -> None:
        """Register a backbone kind that has options of its own, by its configuration class.

        Raises:
            PluginContractError: The name is taken, this is no such class, or `kind` is no `Literal` of the name.
        """
        kind = self._kind(config, CustomBackboneConfig, "add_custom_backbone")
        self._require_free(kind, self._registry.backbones)
        self._registry.custom_backbones.add(kind, config, self._plugin)

    def add_model(self, name: str, model: NamedModel) -> None:
        """Register a model folder under a name such as `reference:flux`."""
        self._registry.models.add(name, model, self._plugin)

    def add_presets(self, folder: Path) -> None:
        """Register every `*.yaml` file in a folder as a preset, named after the file."""
        for path in sorted(folder.glob("*.yaml")):
            self._registry.presets.add(path.stem, path, self._plugin)

    def add_peer(self, family: PeerFamily) -> None:
        """Register a family of peers, which are another library's caches, under its name.

        Raises:
            PluginContractError: The name is taken, or this is not a family object, for example its class.
        """
        self._check_family(family, PeerFamily, "add_peer", "ladders")
        self._registry.peers.add(family.name, family, self._plugin)

    def add_told_peer(self, family: ToldPeerFamily) -> None:
        """Register a family of peers that are told which steps to compute, under its name.

        Raises:
            PluginContractError: The name is taken, or this is not a family object, for example its class.
        """
        self._check_family(family, ToldPeerFamily, "add_told_peer", "at")
        self._registry.told_peers.add(family.name, family, self._plugin)

    def _check_family(self, given: object, contract: type, call: str, offers: str) -> None:
        if isinstance(given, type) or not isinstance(given, contract):
            raise PluginContractError(
                f"{self._plugin}: {call} needs an object with `name`, `refusal` and `{offers}` "
                f"(see lesa_framework.{contract.__name__}), not {given!r}."
            )

    def add_metric(self, metric: Metric) -> None:
        """Register a metric under its own name.

        Raises:
            PluginContractError: The name is taken or is a key of results, or the metric does not describe itself.
        """
        if not isinstance(metric, Metric):
            raise PluginContractError(f"{self._plugin}: add_metric needs a Metric instance, not {metric!r}.")
        missing = [name for name in _LABELS if getattr(metric, name, None) in {None, ""}]
        if missing:
            raise PluginContractError(
                f"{self._plugin}: metric {type(metric).__name__} sets no {' and no '.join(missing)}."
            )
        if metric.name in RESERVED:
            raise PluginContractError(
                f"{self._plugin}: metric '{metric.name}': results have a key of this name already. Choose another name."
            )
        self._registry.metrics.add(metric.name, metric, self._plugin)

    def _kind(self, config: type[PluginConfig], contract: type[PluginConfig], call: str) -> str:
        if not _is_class_of(config, contract):
            raise PluginContractError(
                f"{self._plugin}: {call} needs a subclass of {contract.__name__}, not {shown(config)}."
            )
        return _kind(config)

    def _require_free(self, kind: str, other: Catalog[Any]) -> None:
        if kind == AUTO:
            raise PluginContractError(
                f"{self._plugin}: backbone '{AUTO}' is reserved for the automatic choice. Choose another name."
            )
        if kind in other:
            raise PluginContractError(
                f"{self._plugin}: backbone '{kind}' is already registered by {other.names()[kind]}. "
                "Choose another name, or uninstall one of the two packages."
            )


def _is_class_of(given: object, contract: type) -> bool:
    return isinstance(given, type) and issubclass(given, contract)


def _kind(config: type[PluginConfig]) -> str:
    declared = config.model_fields["kind"]
    kind = declared.default
    if not isinstance(kind, str) or get_args(declared.annotation) != (kind,):
        raise PluginContractError(
            f"{config.__module__}.{config.__qualname__}: 'kind' must be a Literal of one name, which is its default, "
            'for example `kind: Literal["mine"] = "mine"`.'
        )
    return kind
