"""A catalog: what is registered of one sort, by name, and which plugin it is from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from lesa_framework.errors import PluginContractError, UnknownPluginError, did_you_mean

Item = TypeVar("Item")

#: Up to this many names, an error message lists their plugins too.
_LISTED = 20


class Catalog(Generic[Item]):
    """Named items of one sort, each with the plugin that registered it."""

    def __init__(self, section: str, noun: str) -> None:
        self._section, self._noun = section, noun
        self._items: dict[str, tuple[Item, str]] = {}

    def add(self, name: str, item: Item, plugin: str) -> None:
        """Register an item under a name of its own.

        Raises:
            PluginContractError: The name is taken.
        """
        if name in self._items:
            other = self._items[name][1]
            raise PluginContractError(
                f"{plugin}: {self._noun} '{name}' is already registered by {other}. Choose another name, "
                "or uninstall one of the two packages."
            )
        self._items[name] = (item, plugin)

    def drop(self, plugin: str) -> None:
        """Forget what a plugin registered."""
        self._items = {name: item for name, item in self._items.items() if item[1] != plugin}

    def __contains__(self, name: object) -> bool:
        """Whether the name is taken."""
        return name in self._items

    def names(self) -> dict[str, str]:
        """Name -> plugin, sorted by name."""
        return {name: self._items[name][1] for name in sorted(self._items)}

    def items(self) -> dict[str, Item]:
        """Name -> item, sorted by name."""
        return {name: self._items[name][0] for name in sorted(self._items)}

    def get(self, name: str) -> Item:
        """The item with a name.

        Raises:
            UnknownPluginError: Nothing has that name; the message lists the names that exist.
        """
        if name in self._items:
            return self._items[name][0]
        raise unknown(self._section, self._noun, name, self.names())


def unknown(section: str, noun: str, name: str, known: Mapping[str, str]) -> UnknownPluginError:
    """The error for a name that is not registered.

    Args:
        section: Where the name was given, such as `predictor.kind`.
        noun: What it names, for a sentence.
        name: The unknown name.
        known: Valid name -> plugin.
    """
    hint = did_you_mean(str(name), known)
    brief = len(known) > _LISTED
    listed = ", ".join(one if brief else f"'{one}' ({plugin})" for one, plugin in known.items()) or "none"
    return UnknownPluginError(f"{section}: '{name}' is not a registered {noun}. Known: {listed}.{hint}")
