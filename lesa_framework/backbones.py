"""Finds the adapter that fits a model; the error when none does says what to try."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from torch import nn

from lesa_framework import layout
from lesa_framework.errors import ConfigError, UnsupportedBackboneError
from lesa_framework.interfaces.backbone import BackboneAdapter, BackboneConfig, CustomBackboneConfig
from lesa_framework.model_info import ModelInfo, describe_model
from lesa_framework.plugin.manager import plugins
from lesa_framework.plugin.registry import AUTO, Registry

#: How many adapters an error names.
_NEAREST = 3
#: People who installed a wheel have no docs, so this is all that they need.
_TO_WRITE = (
    "An adapter of your own is a class with four names: the model's class, its lists of blocks, the module after them, "
    "and the argument with the noise level. `lesa new backbone NAME` writes one with its test; `lesa plugins` lists "
    "the adapters that there are."
)
_COMMON = re.compile("(Transformer)?([23]D)?(Model)?$")


@dataclass(frozen=True)
class AdapterMatch:
    """The adapter that was found for a model.

    Attributes:
        kind: Its name, for example `flux`.
        adapter: The adapter.
        verified: Whether it is known to fit. If not, the first computed step of a session checks it: the adapter says
            that it is `unverified`, or it is for another class whose modules only have the same names.
    """

    kind: str
    adapter: BackboneAdapter
    verified: bool

    def describe(self, model: nn.Module) -> ModelInfo:
        """What tells the model from others, as it is now."""
        return describe_model(model, self.adapter.blocks, self.adapter.same_as)


def find_adapter(model: nn.Module, backbone: str | BackboneConfig = AUTO) -> AdapterMatch:
    """The adapter for a transformer.

    Args:
        model: The transformer; what `torch.compile` wrapped counts as what is in it.
        backbone: The configuration's `backbone` section, or an adapter's name, or `auto` to go by the names of the
            model's class and its bases.

    Raises:
        UnsupportedBackboneError: No adapter fits, or not the one that was asked for.
        UnknownPluginError: No adapter has that name.
        ConfigError: A kind that has options was asked for by its name alone.
    """
    model = layout.unwrapped(model)
    registry = plugins().registry
    if isinstance(backbone, CustomBackboneConfig):
        adapter = backbone.build(model)
        return AdapterMatch(backbone.kind, adapter, verified=not adapter.unverified)
    kind = backbone if isinstance(backbone, str) else backbone.kind
    if kind != AUTO:
        return _by_name(model, kind, registry)
    match = _by_class(model, registry)
    if match is None:
        raise UnsupportedBackboneError(_unknown_model(model, registry))
    return match


def _by_class(model: nn.Module, registry: Registry) -> AdapterMatch | None:
    made = registry.backbones.items()
    # Those that name a library first: for it they are meant.
    kinds = sorted(made, key=lambda kind: (not made[kind].model_module, kind))
    for base in type(model).__mro__:
        for kind in kinds:
            if made[kind].model_class == base.__name__ and base.__module__.startswith(made[kind].model_module):
                adapter = made[kind]()
                return AdapterMatch(_kind_of(kind, adapter, registry), adapter, verified=not adapter.unverified)
    return None


def _kind_of(kind: str, adapter: BackboneAdapter, registry: Registry) -> str:
    """The kind under which an adapter's models are known: that of the class which they are the same as."""
    others = registry.backbones.items().items()
    same = (name for name, made in others if made.model_class == adapter.same_as and not made.model_module)
    return next(same, kind) if adapter.same_as else kind


def _by_name(model: nn.Module, kind: str, registry: Registry) -> AdapterMatch:
    config = registry.backbone_config(kind)
    if config is not BackboneConfig:
        raise ConfigError(
            f"backbone.kind: '{kind}' has options of its own ({', '.join(_options(config))}), so its name is not "
            "enough. Give the `backbone` section of a configuration, such as `lesa.load_config(...).backbone`."
        )
    match = _by_class(model, registry)
    if match is not None and match.adapter.same_as and match.kind == kind:
        return match
    adapter = registry.backbones.get(kind)()
    absent = layout.missing(model, _layout(adapter))
    if absent:
        fitting = _same_layout(model, registry)
        hint = f" Its layout is that of {_listed(fitting, registry)}." if fitting else ""
        raise UnsupportedBackboneError(
            f"backbone.kind: '{kind}' is for {adapter.model_class} and does not fit {type(model).__name__}: "
            f"{layout.no_module(model, absent[0])}"
            + (f" Missing too: {', '.join(absent[1:])}." if absent[1:] else "")
            + f"{hint} {_TO_WRITE}"
        )
    # The same names are not yet the same layout.
    is_for_class = adapter.model_class in {base.__name__ for base in type(model).__mro__}
    return AdapterMatch(kind, adapter, verified=is_for_class and not adapter.unverified)


def _unknown_model(model: nn.Module, registry: Registry) -> str:
    name = type(model).__name__
    lines = [f"{name}: no backbone adapter fits this class."]
    fitting = _same_layout(model, registry)
    if fitting:
        lines.append(
            f"Its layout is that of {_listed(fitting, registry)}: "
            f"try backbone.kind={fitting[0]}; its first step checks that it fits. With schedule.kind=always "
            "nothing may change."
        )
    elif registry.backbones.names():
        classes = {kind: adapter.model_class for kind, adapter in registry.backbones.items().items()}
        alike = sorted(classes, key=lambda kind: -_likeness(name, classes[kind]))[:_NEAREST]
        lines.append(
            f"The nearest by name are {_listed(alike, registry)}, but none of them fits its modules and arguments."
        )
    lines += [f"Or describe it in the configuration, {text}" for text in _described(model, registry)]
    lines.append(_TO_WRITE)
    return "\n".join(lines)


def _described(model: nn.Module, registry: Registry) -> list[str]:
    """The `module` section for the model, as far as it can be guessed."""
    found = layout.guess(model)
    if "module" not in registry.custom_backbones or not found.blocks:
        return []
    sigma = "1 - t" if found.time is None else found.time if "sigma" in found.time else f"{found.time}/1000"
    blocks = ", ".join(found.blocks)
    section = f'{{kind: module, blocks: [{blocks}], head: {found.head or "..."}, sigma: "{sigma}"}}'
    return [f"without Python. A guess, which the first step checks:\n  backbone: {section}"]


def _same_layout(model: nn.Module, registry: Registry) -> list[str]:
    """Kinds whose whole layout the model has, the closest first."""
    arguments = layout.arguments(model)
    adapters = {kind: adapter() for kind, adapter in registry.backbones.items().items()}
    fitting = [
        kind
        for kind, adapter in adapters.items()
        if not layout.missing(model, _layout(adapter))
        and {adapter.latent_argument, adapter.timestep_argument} <= set(arguments)
    ]

    def distance(kind: str) -> float:
        return -_likeness(type(model).__name__, adapters[kind].model_class)

    # An adapter for a part of the stack fits too, but caches wrongly.
    most = max((len(adapters[kind].blocks) for kind in fitting), default=0)
    return sorted((kind for kind in fitting if len(adapters[kind].blocks) == most), key=distance)[:_NEAREST]


def _likeness(one: str, other: str) -> float:
    """How similar the names of two classes are, without the words that all classes share; 1 for equal names."""
    mine, theirs = (_COMMON.sub("", name).lower() or name.lower() for name in (one, other))
    return difflib.SequenceMatcher(None, mine, theirs).ratio()


def _layout(adapter: BackboneAdapter) -> tuple[str, ...]:
    return (*adapter.blocks, adapter.head)


def _listed(kinds: list[str], registry: Registry) -> str:
    return ", ".join(f"'{kind}' ({registry.backbones.get(kind).model_class})" for kind in kinds)


def _options(config: type[BackboneConfig]) -> list[str]:
    return [name for name in config.model_fields if name not in BackboneConfig.model_fields]
